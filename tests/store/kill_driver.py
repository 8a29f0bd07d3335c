"""A process that forks others, each carrying out one request on a store and dying where it is told to.

It has torch imported and its data read, so that a fork costs milliseconds. Requests come as lines of JSON on the
standard input, answers leave on the standard output: {"do": "start", "scenario": ..., "store": ..., ...} gives the
process id, {"do": "wait", "pid": ...} the signal (negative) or exit code that it ended with.

A fork passes named moments ("ticks"), such as "checkpoint.safetensors:written", and writes each to its trace. It kills
itself with SIGKILL at the n-th tick of the name `at`, or at the n-th tick of all.
"""

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from experiments import config, estimate, files, loop, planner, provenance, runner, store
from experiments.measure.probe import Probe
from experiments.spec import Budget, Experiment, Run, with_lanes
from experiments.tasks.task import Batch, Params, Task
from optim.batch_size import BatchSizeRule, Context
from optim.rule import Hyper, Rule, Tensors
from optim.settings import setting

# Scenarios -----------------------------------------------------------------------------------------------------------

SMALL = ["task=logistic/breast_cancer", "batch_size.size=16"]
SLOW = [*SMALL, "optimizer=adam", "dtype=float64", "budget.steps=60", "record=every:20"]
LANES = {
    # Adam moves every weight by about lr per step, so its losses pass the bound in the middle of the run.
    "adam": [*SMALL, "optimizer=adam", "lanes.lr=[0.01,0.1,20]", "lanes.seed=[3,5]", "average=uniform",
             "dtype=float64", "budget.steps=14", "record=every:5", "divergence_bound=28", "probe=gradient_norm"],
    "adagrad_norm": [*SMALL, "optimizer=adagrad_norm", "lanes.lr=[0.1,1,1000]", "lanes.seed=[3,5]", "average=uniform",
                     "schedule=inverse_sqrt", "sampling=reshuffled", "budget.examples=218", "record=log",
                     "divergence_bound=700"],
    "nadam": [*SMALL, "optimizer=torch.optim.NAdam", "optimizer.arguments.lr=0.05", "average=uniform",
              "schedule=inverse_sqrt", "budget.steps=14", "record=every:4"],
    "left": [*SLOW, "lanes.lr=[0.1,0.2,0.3]"],
    "right": [*SLOW, "lanes.lr=[0.2,0.3,0.4]"],
    "both": [*SLOW, "lanes.lr=[0.1,0.2,0.3,0.4]"],
    "seeds": [*SLOW, "lanes.lr=[0.2,0.3]", "lanes.seed=[0,1,2]"],
}  # fmt: skip

LANES["honest"] = [*(w for w in LANES["adam"] if not w.startswith(("budget", "record"))), "budget.steps=150",
                   "record=every:7"]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ByLoss(BatchSizeRule):
    """A stand-in for adaptive rules: grows while its own running mean of losses says that progress is slow."""

    shared: ClassVar[bool] = False

    def init(self) -> dict[str, Any]:
        return {"size": 4, "mean": None, "history": []}

    def next(self, state: dict[str, Any], context: Context) -> tuple[int, dict[str, Any], str | None]:
        if context.loss is None:
            return state["size"], state, None
        loss = context.loss[0]
        mean = loss if state["mean"] is None else 0.7 * state["mean"] + 0.3 * loss
        slow = state["mean"] is not None and loss > 0.999 * mean
        size = state["size"] + (3 if slow else 1)
        kept = {"size": size, "mean": mean, "history": [*state["history"], loss][-3:]}
        return size, kept, f"grew to {size} after {sum(kept['history'])!r}" if slow else None


@dataclass(frozen=True, kw_only=True)
class Follower(Probe):
    """A probe with a state: sums of what it saw at every step."""

    follows: ClassVar[bool] = True

    def init(self, params: Params) -> dict[str, Tensor]:
        return {"path": torch.zeros_like(params["weight"]), "steps": torch.zeros((), dtype=torch.int64)}

    def observe(self, state: dict[str, Tensor], params: Params, grads: Params, step: int) -> dict[str, Tensor]:
        return {"path": state["path"] + grads["weight"].abs() * step, "steps": state["steps"] + 1}

    def measure(self, task: Task, params: Params, state: dict[str, Tensor], lanes: int) -> dict[str, Tensor]:
        total = state["path"].reshape(lanes, -1).sum(dim=1)
        return {"path": total, "seen": state["steps"].double().expand(lanes)}


@dataclass(kw_only=True)
class Wide(Task):
    """Least squares in 1,003 unknowns held in two tensors; gradients by autograd over all lanes."""

    def load(self, device: torch.device, dtype: torch.dtype) -> None:
        source = torch.Generator().manual_seed(7)
        self.inputs = torch.randn(64, 1003, generator=source).to(dtype)
        self.targets = torch.randn(64, generator=source).to(dtype)

    @property
    def size(self) -> int:
        return 64

    def init(self, generator: torch.Generator | None = None) -> Params:
        return {"first": torch.randn(7, 59, generator=generator), "second": torch.randn(590, generator=generator)}

    def batch(self, draws: Tensor | None) -> Batch:
        chosen = slice(None) if draws is None else draws
        return {"inputs": self.inputs[chosen], "targets": self.targets[chosen]}

    def losses(self, params: Params, batch: Batch) -> Tensor:
        weight = torch.cat([params["first"].reshape(-1), params["second"]])
        return 0.5 * (batch["inputs"] @ weight - batch["targets"]) ** 2 / 1003

    def evaluate(self, params: Params, lanes: int | None = None) -> dict[str, Tensor]:
        flat = torch.cat([p.reshape(lanes or 1, -1) for p in params.values()], dim=1)
        loss = 0.5 * ((flat @ self.inputs.T - self.targets) ** 2).mean(dim=1) / 1003
        return {"loss": loss if lanes is not None else loss[0]}


@dataclass(frozen=True, kw_only=True)
class Aligned(Rule):
    """Scales a step by the agreement of the gradient with the one before: a rule that reduces over its own state."""

    acts_on: ClassVar[Literal["vector"]] = "vector"

    lr: float = setting(0.1, minimum=0.0, lane=True, doc="learning rate")

    def init_tensor(self, param: Tensor, hyper: Hyper) -> Tensors:
        return {"before": torch.ones_like(param), "norm": param.new_ones(())}

    def update_tensor(
        self, grad: Tensor, state: Tensors, param: Tensor, c: Hyper, extra: Any
    ) -> tuple[Tensor, Tensors]:
        agreement = torch.dot(grad, state["before"]) / (grad.norm() * state["before"].norm())
        norm = state["norm"] + state["before"].sum() ** 2
        return grad * (-c["lr"] * (1 + agreement) / norm.sqrt()), {"before": grad, "norm": norm}


def _adaptive() -> Sequence[Run]:
    base = config.request([*SMALL, "optimizer=adam", "optimizer.lr=0.05", "dtype=float64"]).runs[0].experiment
    experiment = Experiment(
        task=base.task, optimizer=base.optimizer, batch_size=ByLoss(), schedule=base.schedule, probes={"f": Follower()},
        budget=Budget("examples", 160.0), record="every:30", dtype="float64",
    )  # fmt: skip
    return with_lanes(experiment, [2], [{}])


def _wide(lrs: Sequence[float]) -> Sequence[Run]:
    base = config.request(SMALL).runs[0].experiment
    experiment = Experiment(
        task=Wide(), optimizer=Aligned(), batch_size=base.batch_size, schedule=base.schedule,
        budget=Budget("steps", 14.0), record="every:4", divergence_bound=1e4,
    )  # fmt: skip
    return with_lanes(experiment, [0], [{"lr": lr} for lr in lrs])


BUILT: dict[str, Callable[[], Sequence[Run]]] = {
    "adaptive": _adaptive,
    "reductions": lambda: _wide([20.0]),
    "reductions_lanes": lambda: _wide([2.0, 20.0, 1e7]),
}

# Dying ---------------------------------------------------------------------------------------------------------------


class Mortal:
    """Counts ticks, writes them down, and kills this process at the appointed one."""

    def __init__(self, trace: str | None, at: str | None, n: int | None) -> None:
        self.at, self.left = at, n
        self.trace = os.open(trace, os.O_CREAT | os.O_WRONLY | os.O_APPEND) if trace else None

    def note(self, text: str) -> None:
        if self.trace is not None:
            os.write(self.trace, text.encode() + b"\n")

    def tick(self, name: str, last_deed: Callable[[], None] | None = None) -> None:
        """Pass a moment; if this process dies here, it does `last_deed` first."""
        self.note(name)
        if self.left is None or self.at not in (None, name):
            return
        self.left -= 1
        if self.left == 0:
            if last_deed:
                last_deed()
            os.kill(os.getpid(), signal.SIGKILL)


def _instrument(mortal: Mortal, every: int, slow: float) -> None:
    """Put ticks around everything that changes the store, and let only every n-th checkpoint be written."""
    replacing, append, save = files.replacing, store.Claim.append, store.Claim.save
    step, claim = loop.Loop._step, store.Store.claim

    @contextlib.contextmanager
    def mortal_replacing(path: Path) -> Iterator[Path]:
        mortal.tick(f"{path.name}:before")
        with replacing(path) as temporary:
            yield temporary
            mortal.tick(f"{path.name}:half", lambda: os.truncate(temporary, temporary.stat().st_size // 2))
            mortal.tick(f"{path.name}:written")
        mortal.tick(f"{path.name}:replaced")

    def mortal_append(self: store.Claim, row: dict[str, Any]) -> None:
        def half() -> None:
            text = json.dumps(row).encode()
            self._rows.write(text[: len(text) // 2])
            self._rows.flush()

        mortal.tick("append:before")
        mortal.tick("append:half", half)
        append(self, row)
        mortal.tick("append:after")

    def mortal_save(self: store.Claim, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        if numbers["finished"] or numbers["step"] % every == 0:
            save(self, tensors, numbers)
            mortal.note(f"saved {numbers['step']}")

    def mortal_step(self: loop.Loop) -> None:
        mortal.tick("step:before")
        if slow:
            time.sleep(slow)
        step(self)
        mortal.note(f"step {self.state.step}")

    def mortal_claim(self: store.Store, job: Any) -> store.Claim | None:
        mortal.tick("claim:before")
        held = claim(self, job)
        mortal.tick("claim:after")
        return held

    files.replacing = mortal_replacing
    store.Claim.append, store.Claim.save = mortal_append, mortal_save  # type: ignore[method-assign]
    loop.Loop._step, store.Store.claim = mortal_step, mortal_claim  # type: ignore[method-assign]
    sleep = time.sleep
    runner.time.sleep = lambda seconds: sleep(min(seconds, 0.02))  # type: ignore[attr-defined]


def _live(order: dict[str, Any], runs: Sequence[Run]) -> None:
    """What a fork does."""
    _instrument(Mortal(order.get("trace"), order.get("at"), order.get("n")), order["every"], order["slow"])
    runner.complete(runs, store.Store(order["store"]), checkpoint_seconds=order["checkpoint_seconds"], quiet=True)


def _start(order: dict[str, Any], runs: Sequence[Run]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        log = os.open(order["log"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        _live(order, runs)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    torch.set_num_threads(1)
    known: dict[str, Sequence[Run]] = {}
    provenance.commit()
    provenance.describe()
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "wait":
            answer = os.waitstatus_to_exitcode(os.waitpid(order["pid"], 0)[1])
        else:
            name = order["scenario"]
            if name not in known:
                known[name] = BUILT[name]() if name in BUILT else config.request(LANES[name]).runs
                estimate.cost(planner.group(known[name]))  # imports what a step needs, once for all forks
            answer = _start(order, known[name])
        print(answer, flush=True)


if __name__ == "__main__":
    main()
