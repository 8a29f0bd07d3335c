"""The gradient of a step's batch and what a batch-size rule wants to know of it.

A batch that does not fit in memory is worked through in micro-batches, and one that several processes share in as many
parts; sums over parts are exact (arXiv 2402.11215; section 1 of our page: pooled variances).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from experiments import batch_statistics, microbatches
from experiments.distributed import World
from experiments.gradients import STRATEGIES, choose
from experiments.lanes import Lanes
from experiments.measure.statistics import Collector
from experiments.measure.statistics.collect import refuse_batch_norm
from experiments.measure.statistics.explicit import explicit_sums
from experiments.tasks.example_sums import ExampleSums, Wants
from experiments.tasks.task import Batch, Params, Task
from optim.batch_size import BatchSizeRule
from optim.settings import SettingError

_FOR_STATISTICS = 4  # share of the memory that they may take: one over this


class StepGradient:
    """What one job's steps ask of its task."""

    def __init__(self, task: Task, lanes: Lanes, rule: BatchSizeRule, groups: int, memory: int, world: World) -> None:
        """groups: seeds with batches of their own. memory: bytes, about, that the examples of a step may take."""
        self.task, self.groups, self.world, self.rule = task, groups, world, rule
        device = lanes.flat.device
        few = task.batch(microbatches.a_few(task, 2, device))
        strategy = choose(task, device.type, lanes.count, few)
        self._gradient = STRATEGIES[strategy]
        self.at_once = microbatches.at_once(task, lanes.params, strategy, groups, memory)
        self._whole = task.batch(None) if rule.whole else None
        self._for_statistics = max(1, memory // _FOR_STATISTICS)
        if rule.statistics() and rule.estimate != "between micro-batches":
            self._collector = Collector(task.network, task.losses, rule.estimate, self._for_statistics)

    def at(self, draws: Tensor | None, start: int, stop: int) -> Batch:
        """The examples [start, stop) of the batch of these draws (None: of all the data)."""
        if draws is not None:
            return self.task.batch(draws[..., start:stop])
        assert self._whole is not None
        all_of_it = (start, stop) == (0, self.task.count(self._whole))
        return self._whole if all_of_it else self.task.part(self._whole, start, stop)

    def alone(self, count: int) -> bool:
        """Whether a batch of so many examples is one part."""
        return self.world.size == 1 and count <= self.at_once

    def plain(self, params: Params, draws: Tensor | None, count: int) -> tuple[Tensor, Params]:
        """Mean loss (L,) and gradients (L, ...) of the lanes on a batch of `count` examples."""
        if self.alone(count):
            return self._gradient(self.task, params, self.at(draws, 0, count), self.groups)
        refuse_batch_norm(self.task.network)  # its batches are wholes
        lanes, device = len(next(iter(params.values()))), next(iter(params.values())).device
        total = torch.zeros(lanes, dtype=torch.float64, device=device)
        sums = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in params.items()}
        for start, stop in self._spans(*self.world.share(count)):
            means, grads = self._gradient(self.task, params, self.at(draws, start, stop), self.groups)
            total += means.double() * (stop - start)
            for name, g in grads.items():
                sums[name].add_(g, alpha=stop - start)
        self.world.sum(total, *sums.values())
        dtype = next(iter(params.values())).dtype
        return (total / count).to(dtype), {name: (s / count).to(dtype) for name, s in sums.items()}

    def measured(
        self, params: Params, draws: Tensor | None, count: int, names: tuple[str, ...]
    ) -> tuple[Tensor, Params, dict[str, float]]:
        """As `plain` for a single lane, and the statistics `names` of its examples' gradients.

        Raises SettingError where they are not defined.
        """
        one, wants = {name: p[0] for name, p in params.items()}, batch_statistics.wants(names)
        if count < 2:
            raise SettingError(f"a variance of gradients needs at least 2 examples, and this batch has {count}")
        if self.rule.estimate == "between micro-batches":
            mean, gradient, statistics = self._between(one, draws, count, names, wants)
        elif self.alone(count):
            done = self._sums(one, self.at(draws, 0, count), wants)
            mean, centre = done.losses.mean(dtype=torch.float64), done.gradient
            gradient = _plus(centre, self._common(one))
            norms = float(done.squared_norms.sum()) if wants.norms else 0.0
            along = _around(done.products, centre, gradient) if wants.products else 0.0
            free = count - 1
            statistics = batch_statistics.numbers(names, gradient, centre, count, free, norms, along, done.squares)
        else:
            mean, gradient, statistics = self._in_parts(one, draws, count, names, wants)
        dtype = next(iter(one.values())).dtype
        return mean[None].to(dtype), {name: g[None] for name, g in gradient.items()}, statistics

    def _in_parts(
        self, params: Params, draws: Tensor | None, count: int, names: tuple[str, ...], wants: Wants
    ) -> tuple[Tensor, Params, dict[str, float]]:
        total = _Total(params, wants)
        spans = list(self._spans(*self.world.share(count)))
        first = Wants(norms=wants.norms, squares=wants.squares)
        for start, stop in spans:
            done = self._sums(params, self.at(draws, start, stop), first)
            total.add(done.losses.sum(), done.gradient, stop - start, done.squared_norms.sum(), done.squares)
        self.world.sum(*total.tensors())
        centre = total.gradient(count)
        gradient = _plus(centre, self._common(params))
        along = total.norms.new_zeros(())
        if wants.products:  # only now is the direction known
            for start, stop in spans:
                done = self._sums(params, self.at(draws, start, stop), Wants(products=True), gradient)
                along += _around(done.products, centre, gradient)
            self.world.sum(along)
        numbers = batch_statistics.numbers(
            names, gradient, centre, count, count - 1, float(total.norms), float(along), total.squares
        )
        return total.loss / count, gradient, numbers

    def _between(
        self, params: Params, draws: Tensor | None, count: int, names: tuple[str, ...], wants: Wants
    ) -> tuple[Tensor, Params, dict[str, float]]:
        """Variances estimated from the means of `parts` equal parts: no gradients of single examples."""
        parts = min(self.rule.parts, max(2, count // 2))  # of two examples or more, if there are four
        bounds = [k * count // parts for k in range(parts + 1)]
        total, means, lane = _Total(params, wants), [], {name: p[None] for name, p in params.items()}
        for k in range(*self.world.share(parts)):
            part = _Total(params, Wants())
            for start, stop in self._spans(bounds[k], bounds[k + 1]):
                loss, grads = self._gradient(self.task, lane, self.at(draws, start, stop), 1)
                part.add(loss[0].double() * (stop - start), {n: g[0] for n, g in grads.items()}, stop - start)
            size = bounds[k + 1] - bounds[k]
            mean = {name: s / size for name, s in part.sums.items()}
            norm = torch.stack([m.square().sum() for m in mean.values()]).sum()
            total.add(part.loss, mean, size, size * norm, {n: size * m.square() for n, m in mean.items()})
            means.append((size, mean))
        self.world.sum(*total.tensors())
        gradient = total.gradient(count)
        along = total.norms.new_zeros(())
        for size, mean in means:
            product = torch.stack([(m * gradient[name]).sum() for name, m in mean.items()]).sum()
            along += size * _around(product[None], gradient, gradient)
        self.world.sum(along)
        numbers = batch_statistics.numbers(
            names, gradient, gradient, count, parts - 1, float(total.norms), float(along), total.squares
        )
        return total.loss / count, gradient, numbers

    def _sums(self, params: Params, batch: Batch, wants: Wants, along: Params | None = None) -> ExampleSums:
        if self.rule.estimate == "chunked":
            known = explicit_sums(self.task, params, batch, wants, along, self._for_statistics)
        else:
            known = self.task.example_sums(params, batch, wants, along)
        return known or self._collector.sums(params, batch, wants, along)

    def _common(self, params: Params) -> Params:
        """What `_sums` leaves out of every gradient."""
        return self.task.common_gradient(params) if self.rule.estimate == "exact" else {}

    def _spans(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """[start, stop) in as few parts as fit in memory, of nearly one size."""
        pieces = -(-(stop - start) // self.at_once)
        for k in range(pieces):
            yield start + (stop - start) * k // pieces, start + (stop - start) * (k + 1) // pieces


class _Total:
    """Sums over parts of a batch, in float64."""

    def __init__(self, params: Params, wants: Wants) -> None:
        self.dtype, device = next(iter(params.values())).dtype, next(iter(params.values())).device
        self.loss, self.norms = torch.zeros(2, dtype=torch.float64, device=device)
        self.sums = {name: torch.zeros_like(p, dtype=torch.float64) for name, p in params.items()}
        self.squares = {name: torch.zeros_like(s) for name, s in self.sums.items()} if wants.squares else {}

    def add(
        self, loss: Tensor, mean: Params, count: int, norms: Tensor | None = None, squares: Params | None = None
    ) -> None:
        """A part of `count` examples: the sum of their losses, their mean gradient, and what is wanted of it."""
        self.loss += loss
        for name, g in mean.items():
            self.sums[name].add_(g, alpha=count)
        if norms is not None:
            self.norms += norms
        for name, s in self.squares.items():
            assert squares is not None
            s += squares[name]

    def tensors(self) -> list[Tensor]:
        return [self.loss, self.norms, *self.sums.values(), *self.squares.values()]

    def gradient(self, count: int) -> Params:
        return {name: (s / count).to(self.dtype) for name, s in self.sums.items()}


def _plus(centre: Params, shift: Params) -> Params:
    return {name: mean + shift[name] for name, mean in centre.items()} if shift else centre


def _around(products: Tensor, centre: Params, gradient: Params) -> float:
    """sum_i (s_i - <h, g>)^2 for products s_i = <h_i, g> with the gradient g, where the centre h is the mean of h_i."""
    middle = torch.stack([(h.double() * gradient[name].double()).sum() for name, h in centre.items()]).sum()
    return float((products - middle).square().sum())
