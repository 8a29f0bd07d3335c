"""The loop: data order -> batch -> losses and gradients -> update -> batch size, for all lanes of a job at once.

It knows tasks and rules by their contracts only. Everything that the next step depends on is in `_State`, which is
what a checkpoint holds, so that a run killed anywhere and resumed ends with the same numbers to the bit.
"""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from experiments import distributed, recording
from experiments.clock import Clock
from experiments.job import Job
from experiments.lanes import Lanes, RuleStepper, Stepper, TorchStepper
from experiments.microbatches import MEBIBYTE
from experiments.order import Order
from experiments.seeds import generator
from experiments.spec import fitted
from experiments.step_gradient import StepGradient
from experiments.threads import Threads
from optim.batch_size import Context
from optim.foreign import TorchOptimizer
from optim.schedule import Progress

_TELL_EVERY = 0.5  # seconds


class Sink(Protocol):
    """Where the rows and checkpoints of a job go."""

    def append(self, row: dict[str, Any]) -> None:
        """Add a row."""

    def save(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        """Keep a checkpoint that goes with the rows so far."""

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last checkpoint, after cutting the rows back to it; None if there is none."""


@dataclass
class _State:
    step: int = 0
    examples: int = 0
    size: int = 0
    recorded: int = 0  # recording points passed
    seconds: float = 0.0  # of training alone
    finished: bool = False
    rule: dict[str, Any] = field(default_factory=dict)  # of the batch-size rule
    diverged_at: list[int | None] = field(default_factory=list)  # step by lane
    loss: list[float] | None = None  # mean of the last batch by lane
    statistics: dict[str, float] = field(default_factory=dict)  # of the last batch, for the batch-size rule
    stepper: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a job ended. `seconds` is training time: without evaluation, probes, logging and checkpoints."""

    steps: int
    examples: int
    seconds: float
    diverged_at: list[int | None]


class Loop:
    """Runs one job to its end, from the start or from its last checkpoint."""

    def __init__(self, job: Job, sink: Sink) -> None:
        e = job.experiment
        self.job, self.sink, self.e = job, sink, e
        self.device, dtype = torch.device(e.device), getattr(torch, e.dtype)
        self.task = e.task
        self.task.prepare(self.device, dtype)
        e.batch_size.refuse(self.task.size, e.sampling == "replacement")
        starts = [self.task.init(generator(seed, "initialisation")) for seed in job.seeds]
        starts = [{k: v.to(self.device, dtype) for k, v in start.items()} for start in starts]
        few = self.task.batch(torch.arange(min(2, self.task.size or 2), device=self.device))
        sparse = self.task.support(few) is not None
        self.lanes = Lanes(starts, job.lanes // len(job.seeds), by_coordinate=sparse)
        self.stepper: Stepper = (
            TorchStepper(e.optimizer, self.lanes, job.hypers)
            if isinstance(e.optimizer, TorchOptimizer)
            else RuleStepper(e.rule, self.lanes, job.hypers)
        )
        groups = 1 if e.batch_size.whole else len(job.seeds)
        self.gradient = StepGradient(
            self.task, self.lanes, e.batch_size, groups, e.memory * MEBIBYTE, distributed.world()
        )
        self.order = Order(self.task.size, e.sampling, job.seeds, self.device, tags=self.task.augments)
        self.budget = e.whole_budget
        self.points = recording.points(e.record, self.budget)
        self.average = e.average.init(self.lanes.flat) if e.average else {}
        self.following = {k: p.init(self.lanes.params) for k, p in e.probes.items() if p.follows}
        self.touches_few = sparse and self.stepper.skips and not self.following
        own = self.stepper.base[0] if isinstance(self.stepper, TorchStepper) else None
        self.rates = [hyper.get("lr", float("nan") if own is None else float(own)) for hyper in job.hypers]
        self.state = _State(rule=e.batch_size.init(), diverged_at=[None] * job.lanes)
        self.alive: Tensor | None = None  # None: all lanes are
        self.clock = Clock(self.device)
        self.threads = Threads()

    @torch.no_grad()
    def run(self, checkpoint_seconds: float = 60.0, progress: Callable[[float], None] | None = None) -> Outcome:
        """Run to the end of the budget; `progress` is told the share of the budget done, now and then."""
        with self.threads:
            return self._run(checkpoint_seconds, progress)

    def _run(self, checkpoint_seconds: float, progress: Callable[[float], None] | None) -> Outcome:
        saved = self.sink.load()
        if saved is None:
            self.record()
        else:
            self._restore(*saved)
        s, last_saved, last_told = self.state, time.perf_counter(), time.perf_counter()
        self.clock.start()
        while not s.finished:
            self._step()
            s.finished = self._amount() >= self.budget.amount or self._all_diverged()
            due = s.finished or self._amount() >= self.points[s.recorded]
            now = time.perf_counter()
            late = now - last_saved > checkpoint_seconds
            if due or late:
                self.clock.stop()
                if due:
                    self.record()
                    s.finished |= self._all_diverged()
                if late:
                    self._checkpoint()
                    last_saved = time.perf_counter()
                self.clock.start()
            if progress and now - last_told > _TELL_EVERY:
                progress(min(1.0, self._amount() / self.budget.amount))
                last_told = now
        self.clock.stop()
        self._checkpoint()
        return Outcome(s.step, s.examples, self.clock.seconds, s.diverged_at)

    def _all_diverged(self) -> bool:
        return self.alive is not None and not bool(self.alive.any())

    @torch.no_grad()
    def advance(self, steps: int) -> int:
        """Take up to this many steps of the budget and nothing else: no rows, no checkpoints. Returns how many."""
        with self.threads:
            for taken in range(steps):
                if self._amount() >= self.budget.amount:
                    return taken
                self._step()
        return steps

    def _amount(self) -> float:
        """How far the run is on the axis of its budget."""
        if self.budget.axis == "seconds":
            return self.clock.seconds
        return float(self.state.step if self.budget.axis == "steps" else self.state.examples)

    def _step(self) -> None:
        s, e = self.state, self.e
        share = self._amount() / self.budget.amount
        factor = e.schedule.factor(Progress(s.step + 1, s.examples, share, self.budget.axis, self.budget.amount))
        context = Context(
            step=s.step + 1,
            examples=s.examples,
            share=share,
            size=s.size,
            learning_rate=() if e.batch_size.shared else tuple(lr * factor for lr in self.rates),
            loss=None if e.batch_size.shared or s.loss is None else tuple(s.loss),
            data_size=self.task.size,
            statistics=s.statistics,
        )
        size, s.rule, note = e.batch_size.next(s.rule, context)
        if note:
            self.sink.append({"step": s.step + 1, "note": note, "batch_size": size})
        left = int(self.budget.amount) - s.examples
        s.size = fitted(size, left, e.last_batch) if self.budget.axis == "examples" else size
        self.threads.suit(int(self.lanes.flat.numel() * s.size * self.task.share_touched))
        draws = None if e.batch_size.whole else self.order.draws(s.examples, s.size)
        wanted = () if self._last(s.size) else e.batch_size.needs(s.step + 1, s.rule)
        s.statistics, means = {}, None
        if not wanted and self.touches_few and self.gradient.alone(s.size):
            means = self._touched(self.gradient.at(draws, 0, s.size), factor)
        if means is None:
            if wanted:
                means, grads, s.statistics = self.gradient.measured(self.lanes.params, draws, s.size, wanted)
            else:
                means, grads = self.gradient.plain(self.lanes.params, draws, s.size)
            self._before_update(means)
            for name, state in self.following.items():
                self.following[name] = e.probes[name].observe(state, self.lanes.params, grads, s.step)
            self.stepper.step(grads, s.step, factor, self.alive)
        s.examples += s.size
        self.last = (means, factor)
        if not e.batch_size.shared:
            s.loss = means.tolist()

    def _last(self, size: int) -> bool:
        """Whether the step of this size ends the budget: nobody asks about its batch any more."""
        s, budget = self.state, self.budget
        return budget.axis != "seconds" and budget.amount <= (
            s.step + 1 if budget.axis == "steps" else s.examples + size
        )

    def _touched(self, batch: dict[str, Tensor], factor: float) -> Tensor | None:
        """The step on the parameters that the batch touches alone; None, and nothing done, if that may be all."""
        where = self.task.support(batch)
        if where is None:
            return None
        touched = self.lanes.take(self.lanes.flat, where)
        losses, grad = self.task.touched_gradient(touched, batch)
        means = losses.mean(dim=1)
        self._before_update(means)
        self.stepper.step_touched(touched, grad, where, self.state.step, factor, self.alive)
        return means

    def _before_update(self, means: Tensor) -> None:
        """What looks at the point where the gradients were taken."""
        self.state.step += 1
        self._freeze(means)
        if self.e.average:
            self.average = self.e.average.observe(self.average, self.lanes.flat, self.state.step)

    def _freeze(self, loss: Tensor) -> None:
        """Take lanes whose loss is not finite, or above the bound, out of the run for good."""
        fine = loss <= self.e.divergence_bound  # false for NaN
        if bool(fine.all()):
            return
        alive = fine if self.alive is None else self.alive & fine
        for lane, still in enumerate(alive.tolist()):
            if not still and self.state.diverged_at[lane] is None:
                self.state.diverged_at[lane] = self.state.step
        self.alive = alive

    @torch.no_grad()
    def record(self) -> None:
        """Evaluate every readout and write a row; None stands for lanes that have diverged."""
        s, e = self.state, self.e
        self.threads.all()
        numbers = self._evaluate(self.lanes.params)
        self._freeze(numbers["loss"])
        if e.average:
            mean = e.average.output(self.average, self.lanes.flat)
            numbers |= {f"average/{k}": v for k, v in self._evaluate(self.lanes.view(mean)).items()}
        point = s.recorded + 1 if s.step else 0
        last = self._amount() >= self.budget.amount or self._all_diverged()
        for name, probe in e.probes.items():
            if not probe.due(point, last):
                continue
            following = self.following.get(name, {})
            numbers |= probe.measure(self.task, self.lanes.params, following, self.lanes.count)
        columns = {k: v.tolist() for k, v in numbers.items()}
        if s.step:
            means, factor = self.last
            columns["batch_loss"] = means.tolist()
            columns["batch_size"] = [s.size] * self.lanes.count
            columns["learning_rate"] = [lr * factor for lr in self.rates]
        dead = [at is not None for at in s.diverged_at]
        metrics = {
            k: [None if d or not _finite(x) else x for x, d in zip(v, dead, strict=True)] for k, v in columns.items()
        }
        seconds = self.clock.seconds if self.lanes.count == 1 else None
        self.sink.append({"step": s.step, "examples": s.examples, "seconds": seconds, "metrics": metrics})
        while s.recorded < len(self.points) and self.points[s.recorded] <= self._amount():
            s.recorded += 1

    def _evaluate(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        numbers = self.task.evaluate(params, lanes=self.lanes.count)
        if self.task.optimum is not None:
            numbers["gap"] = numbers["loss"] - self.task.optimum
        return numbers

    def _checkpoint(self) -> None:
        self.state.seconds, self.state.stepper = self.clock.seconds, self.stepper.numbers()
        self.sink.save(self.tensors(), dataclasses.asdict(self.state))

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a checkpoint holds beside numbers."""
        kept = {"parameters": self.lanes.flat}
        kept |= {f"rule/{k}": v for k, v in self.stepper.tensors().items()}
        kept |= {f"average/{k}": v for k, v in self.average.items()}
        return kept | {f"probe/{name}/{k}": v for name, state in self.following.items() for k, v in state.items()}

    def _restore(self, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> None:
        parts: dict[str, dict[str, Tensor]] = {"parameters": {}, "rule": {}, "average": {}, "probe": {}}
        for key, value in tensors.items():
            kind, _, name = key.partition("/")
            parts[kind][name] = value.to(self.device)
        self.state = _State(**numbers)
        self.clock = Clock(self.device, self.state.seconds)
        self.lanes.flat.copy_(parts["parameters"][""])
        self.stepper.load(parts["rule"], self.state.stepper)
        self.average = parts["average"]
        for key, value in parts["probe"].items():
            name, _, slot = key.partition("/")
            self.following[name][slot] = value
        if any(at is not None for at in self.state.diverged_at):
            self.alive = torch.tensor([at is None for at in self.state.diverged_at], device=self.device)


def _finite(x: float) -> bool:
    return x == x and abs(x) != float("inf")
