"""The processes that work on one run together: data parallel training under torchrun.

Every process holds the whole state and computes its share of every batch; `following` says how they keep together.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from datetime import timedelta
from types import ModuleType
from typing import NoReturn

import torch
from torch import Tensor

from optim.settings import SettingError

_PATIENCE = timedelta(minutes=30)  # with a process that is there and silent; one that has ended is noticed at once
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # of torchrun


class ProcessLost(RuntimeError):
    """Another process of the run has ended or cannot be reached, so that this one cannot go on."""


class World:
    """The processes that work on one run together.

    Its methods but `share` are to be called by all of them, in the same order. They raise ProcessLost. A world of one
    process does nothing in them.
    """

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def share(self, count: int) -> tuple[int, int]:
        """Which of `count` examples are this process's: [start, stop), contiguous, the first shares one longer."""
        each, left = divmod(count, self.size)
        start = self.rank * each + min(self.rank, left)
        return start, start + each + (self.rank < left)

    @torch.no_grad()
    def sum(self, *tensors: Tensor) -> None:
        """Replace each tensor (any shape, on one device) by its sum over all processes, equal to the bit in each."""
        if self.size == 1:
            return
        for dtype in dict.fromkeys(t.dtype for t in tensors):
            same = [t.detach() for t in tensors if t.dtype == dtype]
            packed = len(same) > 1 or not same[0].is_contiguous()
            flat = torch.cat([t.reshape(-1) for t in same]) if packed else same[0]
            with _together() as group:
                group.all_reduce(flat)
            if packed:
                for t, total in zip(same, flat.split([t.numel() for t in same]), strict=True):
                    t.copy_(total.view_as(t))

    def agree(self, numbers: list[float]) -> list[float]:
        """The numbers of process 0; all processes must bring equally many."""
        if self.size == 1 or not numbers:
            return numbers
        kept = torch.tensor(numbers, dtype=torch.float64)
        with _together() as group:
            group.broadcast(kept, 0)
        return kept.tolist()

    def tell(self, data: bytes | None) -> bytes:
        """The bytes of process 0; the others bring None."""
        if self.size == 1:
            assert data is not None
            return data
        length = torch.tensor([len(data) if data is not None else 0])
        with _together() as group:
            group.broadcast(length, 0)
            content = torch.empty(int(length), dtype=torch.uint8)
            if data:
                content.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
            if len(content):
                group.broadcast(content, 0)
        return content.numpy().tobytes()


ALONE = World(0, 1)
_world: World | None = None


def world() -> World:
    """The world of this process: torchrun's, or ALONE without it. Its processes meet when they first need to."""
    global _world
    if _world is None:
        there = all(name in os.environ for name in _VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1
        _world = World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])) if there else ALONE
    return _world


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """In here this process computes for itself: what it tries out, the others know nothing of."""
    global _world
    before, _world = world(), ALONE
    try:
        yield
    finally:
        _world = before


def refuse(axis: str, launched: bool) -> None:
    """Raise SettingError for a budget on this axis, or for a launcher, if there are several processes."""
    if world().size > 1 and launched:
        raise SettingError("launcher= and torchrun are two ways to use several processes: give one of them")
    if world().size > 1 and axis == "seconds":
        raise SettingError(
            "budget.seconds is for one process, as clocks differ: under torchrun give budget.examples or budget.steps"
        )


def refuse_idle(size: int | None, examples: int | None) -> None:
    """Raise SettingError if there are more processes than examples, in every batch or in all the data.

    size: examples in each batch, None where that changes. examples: in the data, None for a stream. The last batch of a
    budget, and one that a rule chooses, may be smaller: processes then have nothing to do for a step.
    """
    here = world().size
    if here > 1 and examples is not None and examples < here:
        raise SettingError(
            f"the data have {examples} examples for {here} processes: start at most {examples} processes"
        )
    if here > 1 and size is not None and size < here:
        raise SettingError(
            f"batches of {size} leave some of {here} processes without an example: start at most {size} processes, or "
            f"use batch_size.size={here} or more"
        )


def take_gpu(device: torch.device) -> None:
    """Make a GPU of this process's own the current one; raises SettingError if there is none for each process here."""
    if world().size == 1 or device.type != "cuda":
        return
    here, found = int(os.environ.get("LOCAL_WORLD_SIZE", world().size)), torch.cuda.device_count()
    if device.index is not None:
        raise SettingError(f"device={device} under torchrun: say device=cuda, and each process takes a GPU of its own")
    if here > found:
        raise SettingError(
            f"device=cuda needs a GPU for each of the {here} processes here, and torch finds {found}: "
            f"use --nproc-per-node {found}, or device=cpu"
        )
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", world().rank)))


def leave(code: int) -> NoReturn:
    """End this process with this exit code: after a failure at once, whatever the others wait for."""
    if world().size > 1:
        import torch.distributed as group

        if code:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        if group.is_initialized():
            group.destroy_process_group()
    sys.exit(code)


@contextlib.contextmanager
def _together() -> Iterator[ModuleType]:
    """torch.distributed, once all processes are there."""
    import torch.distributed as group

    try:
        if not group.is_initialized():
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and group.is_nccl_available() else "gloo"
            group.init_process_group(backend, timeout=_PATIENCE)
        yield group
    except RuntimeError as problem:
        reason = str(problem).strip().partition("\n")[0]
        raise ProcessLost(f"another process of this run has ended or cannot be reached ({reason})") from problem
