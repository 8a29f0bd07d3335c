"""What one process of a test of distributed runs does: a list of commands, one after another, as torchrun starts it.

    distributed_driver.py '{"out": folder, "commands": [[word, ...], ...], "world": true, "at": {...}}'

world: also try the collective operations and write what came out to <out>/world-<rank>.json. at: {"step": K, "ranks":
[...], "how": "kill" or "raise"} ends these processes before step K + 1. "save": only checkpoints after a multiple of so
many steps are kept. Exit codes of the commands go to <out>/codes-<rank>.json.
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from experiments import distributed, run
from experiments.loop import Loop

SIZES = (1, 2, 3, 7, 64, 1000, 10_007)


def told(asked: dict[str, Any]) -> None:
    world = distributed.world()
    if asked.get("world"):
        write(asked, "world", operations(world))
    if asked.get("at"):
        _end(asked["at"])
    if asked.get("save"):
        _save_seldom(asked["save"])
    codes = [run.main(words) for words in asked["commands"]]
    write(asked, "codes", codes)
    distributed.leave(max(codes, default=0))


def write(asked: dict[str, Any], name: str, value: Any) -> None:
    (Path(asked["out"]) / f"{name}-{distributed.world().rank}.json").write_text(json.dumps(value))


def numbers(rank: int, size: int, dtype: torch.dtype) -> torch.Tensor:
    made = torch.randn(size, generator=torch.Generator().manual_seed(1000 * rank + size), dtype=torch.float64)
    return (1000 * made).to(dtype)


def operations(world: distributed.World) -> dict[str, Any]:
    """Sums (in hexadecimal, by dtype and size), agreed numbers and told bytes."""
    sums = {}
    for dtype in (torch.float32, torch.float64, torch.int64):
        for size in SIZES:
            one = numbers(world.rank, size, dtype)
            world.sum(one)
            sums[f"{dtype} {size}"] = one.numpy().tobytes().hex()
    single = numbers(world.rank, 7, torch.float32)
    wide = numbers(world.rank, 12, torch.float64).reshape(3, 4).T  # not contiguous
    scalar = torch.tensor(float(world.rank + 1), dtype=torch.float64)
    world.sum(single, wide, scalar)
    together = {"single": single.tolist(), "wide": wide.tolist(), "scalar": float(scalar)}
    mine = [0.1, -0.0, 1e-310, float("inf"), 2.0**53 + 2] if world.rank == 0 else [float(world.rank)] * 5
    agreed = [x.hex() for x in world.agree(mine)]
    nothing = world.agree([])
    long = bytes(range(256)) * 5000
    heard = [world.tell(data if world.rank == 0 else None) for data in (b"", b"\x00abc", long)]
    digests = [hashlib.sha256(data).hexdigest() for data in heard]
    return {"sums": sums, "together": together, "agreed": agreed, "nothing": nothing, "heard": digests}


def _end(at: dict[str, Any]) -> None:
    step = Loop._step

    def watched(loop: Loop) -> None:
        if loop.state.step == at["step"] and distributed.world().rank in at["ranks"]:
            if at["how"] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise ArithmeticError("broken on purpose")
        step(loop)

    Loop._step = watched  # type: ignore[method-assign]


def _save_seldom(every: int) -> None:
    save = Loop._checkpoint

    def seldom(loop: Loop) -> None:
        if loop.state.step % every == 0 or loop.state.finished:
            save(loop)

    Loop._checkpoint = seldom  # type: ignore[method-assign]


if __name__ == "__main__":
    told(json.loads(sys.argv[1]))
