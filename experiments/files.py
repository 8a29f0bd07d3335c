"""Writing files so that a killed process never leaves half of one."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary sibling of `path` to write to; on leaving it is flushed to the disk and takes the place of `path`."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """Write plain values as JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, allow_nan=False, indent=indent) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text)


def write_checkpoint(path: Path, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
    """Tensors and plain numbers in one safetensors file (the numbers as JSON in its header), whole or not at all."""
    flat = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    content = save(flat, metadata={"numbers": json.dumps(numbers), "digest": _digest(flat, json.dumps(numbers))})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What `write_checkpoint` wrote, on the CPU; None if there is no such file, or it is damaged.

    Tensors are copied into memory of torch's own: sums over memory that is aligned in another way differ in the last
    bit, and a resumed run must not.
    """
    try:
        with safe_open(path, framework="pt") as handle:
            about = handle.metadata()
            tensors = {name: handle.get_tensor(name).clone() for name in handle.keys()}  # noqa: SIM118 (not a dict)
        intact = about["digest"] == _digest(tensors, about["numbers"])
        return (tensors, json.loads(about["numbers"])) if intact else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _digest(tensors: dict[str, Tensor], numbers: str) -> str:
    total = hashlib.sha256(numbers.encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()
