"""AdaGrad's gain over SGD: the logarithm of SGD's gap over AdaGrad's at equal examples, each tuned, cell by cell."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import checks
from experiments.papers.adagrad_anisotropic.ratios import RESOLUTION
from optim.settings import SettingError

if TYPE_CHECKING:
    import pandas


def check_methods(methods: Mapping[str, Any], grid: Mapping[str, Any]) -> None:
    """Raise SettingError unless every method is a list of overrides and has the ends of a grid of learning rates."""
    if not {"sgd", "adagrad"} <= set(methods):
        raise SettingError(f"methods must have 'sgd' and 'adagrad', not only {', '.join(methods) or 'none'}")
    checks.methods(methods, grid)


def rivals(methods: Sequence[str]) -> list[str]:
    """The kinds of SGD among these methods, the main one first."""
    return [m for m in methods if m.split(",")[0] == "sgd"]


def challengers(methods: Sequence[str]) -> list[str]:
    """The kinds of AdaGrad (by coordinate) among these methods, the main one first."""
    return [m for m in methods if m.split(",")[0] == "adagrad"]


def reported(fresh: "pandas.DataFrame") -> "pandas.DataFrame":
    """The protocol's table of fresh seeds as a study shows it."""
    return fresh.drop(columns="run").assign(value=fresh["value"].clip(lower=RESOLUTION))


def by_cell(
    fresh: "pandas.DataFrame", keys: Sequence[str], readout: str, *methods: str
) -> Iterator[tuple[dict[str, Any], dict[str, list[float]], bool]]:
    """For each cell: its keys, by those of the methods that it has the gaps seed by seed, and is any at an edge."""
    table = fresh[(fresh.readout == readout) & fresh.method.isin(methods)]
    cells = table.groupby(list(keys), sort=False)
    wide = table.assign(cell=cells.ngroup()).pivot(index="cell", columns=["method", "seed"], values="value")
    gaps = {method: wide[method].to_numpy() for method in methods if method in wide}
    for cell, (values, edge) in enumerate(cells.edge.any().items()):
        own = {method: of[cell].tolist() for method, of in gaps.items() if not np.isnan(of[cell]).any()}
        yield dict(zip(keys, values, strict=True)), own, bool(edge)


def log_ratio(rival: Sequence[float], challenger: Sequence[float]) -> list[float]:
    """The gain, seed by seed."""
    with np.errstate(invalid="ignore"):  # inf - inf: both diverged
        return [float(v) for v in np.log(rival) - np.log(challenger)]
