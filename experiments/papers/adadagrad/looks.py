"""How schemes look in the figures, and what figures read from the tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.figures import Style
from experiments.papers.adadagrad.plans import LINEAR_RAMP, REPLAY, SAME_AVERAGE, STAGE_RAMP

if TYPE_CHECKING:
    import pandas

SMALL = 128  # the largest constant batch that counts as small in the claims
CONSTANT = Style("#0072B2", "o")
LARGEST = Style("#000000", "X")
_DERIVED = {
    SAME_AVERAGE: Style("#56B4E9", "D"),
    STAGE_RAMP: Style("#7F7F7F", "^", "--"),
    LINEAR_RAMP: Style("#7F7F7F", "v", ":"),
    REPLAY: Style("#000000", "x", ":"),
}
_TESTS = (  # in the order of the settings
    Style("#D55E00", "s"),
    Style("#E69F00", "s"),
    Style("#CC79A7", "s"),
    Style("#D55E00", "*", "--"),
    Style("#009E73", "^"),
    Style("#009E73", "v", "--"),
    Style("#56B4E9", "P", ":"),
    Style("#7F7F7F", "d", "-."),
)


def of_scheme(scheme: str, settings: Any) -> Style:
    """The look of a scheme that is no constant size."""
    if scheme in _DERIVED:
        return _DERIVED[scheme]
    if scheme in settings.tests:
        return _TESTS[list(settings.tests).index(scheme) % len(_TESTS)]
    return figures.style(scheme)


def size_of(scheme: str) -> int:
    """The batch size that the name of a constant scheme tells."""
    return int(scheme.split()[1])


def best_small(runs: "pandas.DataFrame") -> str | None:
    """The constant size of at most 128 with the highest mean test accuracy, of the runs of one arm."""
    constant = runs[(runs.kind == "constant") & ~runs.largest]
    small = constant[constant.scheme.map(size_of) <= SMALL] if len(constant) else constant
    means = small.groupby("scheme", sort=False).test_accuracy.mean().dropna()
    return str(means.idxmax()) if len(means) else None


def mean_line(
    parts: Sequence["pandas.DataFrame"], column: str, value: str, points: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    """The mean over seeds of a curve, where all of them have one: interpolated on an axis that is logarithmic."""
    kept = [part[(part[column] > 0) & part[value].notna()] for part in parts]
    if not kept or any(part.empty for part in kept):
        return np.array([]), np.array([])
    low = max(float(part[column].min()) for part in kept)
    high = min(float(part[column].max()) for part in kept)
    if low > high:
        return np.array([]), np.array([])
    grid = np.geomspace(low, high, points)
    values = [np.interp(np.log(grid), np.log(part[column].to_numpy()), part[value].to_numpy()) for part in kept]
    return grid, np.mean(values, axis=0)


def share_axis(axis: Any) -> None:
    """Accuracies as per cent."""
    from matplotlib.ticker import PercentFormatter

    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))


def legend(figure: Any, axes: Any, columns: int) -> None:
    """One legend below all panels."""
    found: dict[str, Any] = {}
    for axis in axes.flat:
        handles, labels = axis.get_legend_handles_labels()
        found |= dict(zip(labels, handles, strict=True))
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=columns, frameon=False)
