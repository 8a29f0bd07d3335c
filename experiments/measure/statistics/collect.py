"""Statistics of the gradients of single examples from one forward and one backward pass."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from experiments.measure.gradients import STATISTICS
from experiments.measure.statistics import pooled
from experiments.measure.statistics.contribution import row_squares
from experiments.measure.statistics.examples import Losses
from experiments.measure.statistics.one_pass import Pass, Sources
from experiments.measure.statistics.trace import Params
from experiments.tasks.example_sums import ExampleSums, Wants
from optim.settings import SettingError, nearest

NAMES = (*STATISTICS, "squared_norm_sum")
_OF_ONE_EXAMPLE = {"gradient_norm_squared", "squared_norm_sum"}  # those that a batch of 1 has too
_ALONG = {"inner_product_variance", "orthogonal_variance"}


@dataclass(frozen=True)
class Collected:
    """losses: of each example, (B,). gradient: of their mean, by parameter. report: by parameter, how it was done.

    statistics: those asked for, each () in float64; "variance_by_coordinate" is a dict like `gradient`.
    """

    losses: Tensor
    gradient: Params
    statistics: dict[str, Tensor | Params]
    report: dict[str, str]


class Collector:
    """Gradient statistics of a model whose losses are a function of its parameters and a batch."""

    def __init__(
        self,
        model: nn.Module | None,
        losses: Losses,
        method: str = "exact",
        memory: int = 1 << 28,
        parts: int = 8,
    ) -> None:
        """losses(params, batch) gives (B,), one for each example, and calls the model with these parameters.

        params: tensors by their names in the model (`torch.func.functional_call`). batch: tensors whose first axis is
        the example. method: "exact" uses formulas for known layers and gradients of single examples (by vmap) for
        parameters used in any other way; "chunked" uses those for all; "between micro-batches" estimates variances from
        the means of `parts` micro-batches. memory: bytes, about, that statistics may take beyond the two passes.
        model: None where there is none, and "exact" is then "chunked".

        Raises SettingError for batch normalisation in training mode, unless between micro-batches.
        """
        self.model, self.method, self.parts = model, method, parts
        self.sources = Sources(losses, model if method == "exact" else None, memory)
        if memory < 1:
            raise SettingError(f"the memory for statistics must be at least 1 byte, not {memory}")
        if method not in ("exact", "chunked", "between micro-batches"):
            raise SettingError(f"statistics can be exact, chunked or between micro-batches, not '{method}'")
        if method == "between micro-batches" and parts < 2:
            raise SettingError(f"a variance between micro-batches needs at least 2 of them, not {parts}")

    def collect(self, params: Params, batch: Params, names: Iterable[str]) -> Collected:
        """The gradient of the mean loss of a batch and the named statistics (`NAMES`); no other is computed.

        As in `experiments.measure.gradients.gradient_statistics`; squared_norm_sum is sum_i ||g_i||^2. Raises
        SettingError for an unknown name and for a variance of fewer than 2 examples.
        """
        wanted = set(names)
        for name in sorted(wanted - set(NAMES)):
            raise SettingError(f"there is no statistic of the gradient called '{name}': {nearest(name, NAMES)}")
        count = len(next(iter(batch.values())))
        if count < 2 and wanted - _OF_ONE_EXAMPLE:
            raise SettingError(f"a variance of gradients needs at least 2 examples, and this batch has {count}")
        if self.method == "between micro-batches" and wanted - {"gradient_norm_squared"}:
            return self._between(params, batch, wanted)
        refuse_batch_norm(self.model)
        done = Pass(self.sources, params, batch, self._wants(wanted))
        squared = _total(row_squares(g if g.dim() > 1 else g[None]).sum() for g in done.gradient.values())
        if "variance_by_coordinate" in wanted:
            norms = _total(s.sum() for s in done.squares.values())
        else:
            norms = done.squared_norms.sum()
        away = done.products - done.products.mean()
        variance = ((norms - count * squared) / max(count - 1, 1)).clamp_min(0)
        found = _statistics(wanted, squared, variance, away.dot(away) / max(count - 1, 1))
        if "squared_norm_sum" in wanted:
            found["squared_norm_sum"] = norms
        if "variance_by_coordinate" in wanted:
            found["variance_by_coordinate"] = {
                name: ((done.squares[name] - count * g.double().square()) / (count - 1)).clamp_min_(0).to(g.dtype)
                for name, g in done.gradient.items()
            }
        return Collected(done.losses, done.gradient, found, done.report)

    def sums(self, params: Params, batch: Params, wants: Wants, along: Params | None = None) -> ExampleSums:
        """What is wanted of the examples' gradients; products are along `along` or, without it, their mean."""
        refuse_batch_norm(self.model)
        done = Pass(self.sources, params, batch, wants, along)
        return ExampleSums(done.losses, done.gradient, done.squared_norms, done.products, done.squares)

    def inner_products(self, params: Params, batch: Params, direction: Params) -> Tensor:
        """s_i = <g_i, direction>, (B,) in float64: for a batch that is worked through in parts, with its gradient."""
        refuse_batch_norm(self.model)
        return Pass(self.sources, params, batch, Wants(products=True), direction).products

    def _between(self, params: Params, batch: Params, wanted: set[str]) -> Collected:
        count = len(next(iter(batch.values())))
        if count < self.parts:
            raise SettingError(f"{self.parts} micro-batches need as many examples, and this batch has {count}")
        if "squared_norm_sum" in wanted:
            raise SettingError("squared_norm_sum needs gradients of single examples: choose exact or chunked")
        places = torch.arange(count).tensor_split(self.parts)
        bounds = [(int(p[0]), int(p[-1]) + 1) for p in places]
        each = [Pass(self.sources, params, {k: v[i:j] for k, v in batch.items()}, Wants()) for i, j in bounds]
        sizes = [j - i for i, j in bounds]
        flat = torch.stack([torch.cat([g.flatten() for g in part.gradient.values()]) for part in each])
        g = pooled.mean(sizes, flat)
        gradient = _like(g, params)
        squared, variance = g.dot(g), pooled.variance_between(sizes, flat)
        along = pooled.variance_between(sizes, flat.double() @ g)
        found = _statistics(wanted, squared, variance.sum(), along)
        if "variance_by_coordinate" in wanted:
            found["variance_by_coordinate"] = _like(variance, params)
        report = dict.fromkeys(params, f"between {self.parts} micro-batches")
        return Collected(torch.cat([part.losses for part in each]), gradient, found, report)

    def _wants(self, names: set[str]) -> Wants:
        by_coordinate = "variance_by_coordinate" in names
        norms = bool(names & {"variance_trace", "orthogonal_variance", "squared_norm_sum"}) and not by_coordinate
        return Wants(norms, bool(names & _ALONG), by_coordinate)


def refuse_batch_norm(model: nn.Module | None) -> None:
    """Raise SettingError for batch normalisation whose statistics are those of the batch: no g_i is defined."""
    for name, part in model.named_modules() if model is not None else ():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and (part.training or part.running_mean is None):
            raise SettingError(
                f"{name} ({type(part).__name__}) mixes the examples of a batch, whose gradients are then not defined: "
                "call model.eval() to freeze its statistics, use GroupNorm, or estimate variances between micro-batches"
            )


def _total(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum()


def _statistics(wanted: set[str], squared: Tensor, variance: Tensor, along: Tensor) -> dict[str, Tensor | Params]:
    """The wanted ones that are numbers, from ||g||^2, tr V and Var(s_i): `tr V_orth = tr V - Var(s_i) / ||g||^2`."""
    inside = torch.where(squared > 0, along / squared, 0.0)
    found = {
        "gradient_norm_squared": squared,
        "variance_trace": variance,
        "inner_product_variance": along,
        "orthogonal_variance": (variance - inside).clamp_min(0),
    }
    return {name: value for name, value in found.items() if name in wanted}


def _like(flat: Tensor, params: Params) -> Params:
    parts = flat.split([p.numel() for p in params.values()])
    return {name: part.view(p.shape).to(p.dtype) for (name, p), part in zip(params.items(), parts, strict=True)}
