"""One seed per named axis of randomness, so that changing one thing never changes another.

A number is derived by hashing the run's seed with the names of what it depends on, such as `derive(0, "order", 3)` for
the third block of the data order. Nothing is drawn from a generator that has a history, so nothing has to be saved.
"""

import hashlib

import torch


def derive(seed: int, *names: str | int) -> int:
    """A number in [0, 2^63) that depends on the seed and on every name, and on nothing else."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """A fresh CPU generator for one purpose. Draws are made on the CPU, so that every device sees the same ones."""
    return torch.Generator().manual_seed(derive(seed, *names))
