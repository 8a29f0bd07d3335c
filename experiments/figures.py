"""One look for all figures: a method keeps its colour and marker in every paper."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMN = 3.4  # inches: one column of a printed paper
_RATIO = 0.75

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_COLORS = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "blue": "#0072B2",
    "red": "#D55E00",
    "pink": "#CC79A7",
    "grey": "#7F7F7F",
}


@dataclass(frozen=True)
class Style:
    """How a method is drawn."""

    color: str
    marker: str
    line: str = "-"


_STYLES = {
    "sgd": Style(_COLORS["blue"], "o"),
    "sgd, 1/sqrt(t)": Style(_COLORS["sky"], "v", "--"),
    "adagrad": Style(_COLORS["red"], "s"),
    "adagrad_norm": Style(_COLORS["orange"], "D"),
    "adam": Style(_COLORS["green"], "^"),
}
_OTHERS = (Style(_COLORS["pink"], "P"), Style(_COLORS["grey"], "X"), Style(_COLORS["black"], "*"))


def style(method: str) -> Style:
    """The look of a method; methods without one of their own get one that depends on the name alone."""
    return _STYLES.get(method) or _OTHERS[sum(method.encode()) % len(_OTHERS)]


def use() -> None:
    """Set up matplotlib: no display, embedded fonts, the sizes of print."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update(
        {
            "pdf.fonttype": 42,
            "ps.fonttype": 42,
            "font.size": 8,
            "axes.titlesize": 8,
            "axes.labelsize": 8,
            "xtick.labelsize": 7,
            "ytick.labelsize": 7,
            "legend.fontsize": 7,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#E5E5E5",
            "grid.linewidth": 0.5,
            "lines.linewidth": 1.2,
            "savefig.bbox": "tight",
            "savefig.dpi": 200,
            "svg.hashsalt": "anisotropy",
        }
    )


def size(columns: int = 1, ratio: float = _RATIO) -> tuple[float, float]:
    """Width and height in inches of a figure over one or two columns; `ratio` is height by width of one column."""
    width = COLUMN if columns == 1 else 2 * COLUMN + 0.25
    return width, COLUMN * ratio


def beside(place: int, places: int) -> float:
    """Factor on a logarithmic axis that puts one of several methods beside the others at the same value."""
    return float(1.07 ** (2 * place - (places - 1)))


def line_with_intervals(axis: Any, points: Sequence[tuple[float, Interval, bool]], look: Style, label: str) -> None:
    """Markers with their intervals; those with True are joined by a line. Values that are not finite are left out."""
    shown = [point for point in points if math.isfinite(point[1].value)]
    for x, interval, _ in shown:
        low = interval.low if math.isfinite(interval.low) else interval.value
        high = interval.high if math.isfinite(interval.high) else interval.value
        axis.plot([x, x], [low, high], color=look.color, linewidth=1.0, zorder=2)
    kept = [(x, i.value) for x, i, joined in shown if joined]
    apart = [(x, i.value) for x, i, joined in shown if not joined]
    look_of = {"color": look.color, "marker": look.marker, "markersize": 3.5, "zorder": 3}
    axis.plot([x for x, _ in kept], [y for _, y in kept], linestyle=look.line, label=label, **look_of)
    axis.plot([x for x, _ in apart], [y for _, y in apart], linestyle="none", **look_of)


def plain_log_ticks(axis: Any, along: str = "y") -> None:
    """Numbers such as 0.5, 1, 2 on a logarithmic axis, "y" or "x"; called when all is drawn."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

    low, high = axis.get_ylim() if along == "y" else axis.get_xlim()
    marked = axis.yaxis if along == "y" else axis.xaxis
    steps: tuple[float, ...] = (1.0, 2.0, 5.0) if high / low > 3 else (1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 6.0, 7.0, 8.0, 9.0)
    if along == "x" and high / low > 100:  # numbers beside each other need more room
        steps = (1.0,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**k for k in decades for step in steps]
    marked.set_major_locator(FixedLocator([t for t in ticks if low <= t <= high]))
    marked.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    marked.set_minor_locator(NullLocator())
    marked.set_minor_formatter(NullFormatter())


def label_lines(axis: Any) -> None:
    """A legend without a frame: the lines of comparisons cross, so labels beside them would not be read."""
    axis.legend(frameon=False, handlelength=1.8)


def save(figure: "Figure", caption: str, path: Path) -> None:
    """Write `path`.pdf and `path`.png, and the caption beside them as `path`.txt. No dates are written."""
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Creating legend")  # that a busy machine is slow
        figure.savefig(path.with_suffix(".pdf"), metadata={"CreationDate": None, "Producer": None})
        figure.savefig(path.with_suffix(".png"), metadata={"Software": None})
    path.with_suffix(".txt").write_text(caption + "\n")
    plt.close(figure)
