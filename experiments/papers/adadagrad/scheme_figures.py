"""Curves of the main schemes on all three axes of cost."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments import figures
from experiments.figures import Style
from experiments.papers.adadagrad import looks
from experiments.papers.adadagrad.plans import SAME_AVERAGE, STAGE_RAMP
from experiments.papers.adadagrad.points import RELEASED

if TYPE_CHECKING:
    import pandas

_AXES = {"examples": "examples", "step": "steps", "seconds": "seconds of training"}
_VALUES = {"loss": "training loss", "test_accuracy": "test accuracy (%)"}


def draw(tables: Mapping[str, "pandas.DataFrame"], task: str, optimizer: str, settings: Any) -> Any:
    """Loss and test accuracy against examples, steps and seconds, at the fixed rate."""
    import matplotlib.pyplot as plt

    runs, curves = (
        table[(table.task == task) & (table.optimizer == optimizer) & (table.rate == RELEASED)]
        for table in (tables["runs"], tables["curves"])
    )
    width, height = figures.size(2)
    figure, axes = plt.subplots(2, 3, figsize=(width, 1.7 * height), sharex="col", sharey="row", layout="constrained")
    for row, (value, label) in zip(axes, _VALUES.items(), strict=True):
        for axis, column in zip(row, _AXES, strict=True):
            for scheme, look in shown(runs, settings).items():
                _lines(axis, curves[curves.scheme == scheme], column, value, look, scheme)
            axis.set_xscale("log")
        row[0].set_ylabel(label)
    for axis, label in zip(axes[1], _AXES.values(), strict=True):
        axis.set_xlabel(label)
    axes[0][0].set_yscale("log")
    figures.plain_log_ticks(axes[0][0])
    looks.share_axis(axes[1][0])
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5, frameon=False)
    return figure


def shown(runs: "pandas.DataFrame", settings: Any) -> dict[str, Style]:
    """The schemes of the figure that there are, with their looks."""
    largest = runs[runs.largest].scheme.unique()
    wanted = {settings.main: looks.of_scheme(settings.main, settings)}
    small = looks.best_small(runs)
    wanted |= {small: looks.CONSTANT} if small else {}
    wanted |= {name: looks.of_scheme(name, settings) for name in (SAME_AVERAGE, STAGE_RAMP)}
    wanted |= dict.fromkeys(largest, looks.LARGEST)
    return {scheme: look for scheme, look in wanted.items() if scheme in set(runs.scheme)}


def _lines(axis: Any, table: "pandas.DataFrame", column: str, value: str, look: Style, label: str) -> None:
    """Each seed thin, their mean thick."""
    parts = [part for _, part in table.groupby("seed")]
    for part in parts:
        inside = part[part[column] > 0]
        axis.plot(inside[column], inside[value], look.line, color=look.color, linewidth=0.4, alpha=0.4)
    axis.plot(*looks.mean_line(parts, column, value), look.line, color=look.color, linewidth=1.4, label=label)


def caption(table: "pandas.DataFrame", settings: Any, task: str, optimizer: str, question: str) -> str:
    """In words."""
    plan = settings.plans[task]
    own = table[(table.task == task) & (table.optimizer == optimizer) & (table.rate == RELEASED)]
    steps = own.groupby("scheme", sort=False).steps.mean()
    counted = "; ".join(f"{scheme}: {steps[scheme]:,.0f} steps" for scheme in shown(own, settings))
    return (
        f"{question} Loss on the training images and test accuracy of {optimizer} on {task}, against examples, steps "
        f"and seconds of training. Every scheme sees {plan.passes} passes over the data at the learning rate "
        f"{plan.plans[optimizer].lr:g}, the same at every batch size ({counted}). Thin lines: {len(settings.seeds)} "
        f"seeds; thick: their mean. Schemes that are paired by seed share data order and initialisation. The constant "
        f"size is the one of at most {looks.SMALL} with the best test accuracy on these very seeds; the same average "
        f"is that of the examples per step under the test; the ramp by stages doubles the size up to the cap, with "
        f"equally many examples each, in as many steps as the test takes. The seconds are those of the machine that "
        f"ran the runs; they hold the cost of the test and leave out evaluation. First size {plan.first_size} and cap "
        f"as released (the cap lowered to the data); passes, sampling without replacement and schemes derived from the "
        f"test are our choices."
    )
