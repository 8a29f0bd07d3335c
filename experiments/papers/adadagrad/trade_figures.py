"""What fewer steps cost in accuracy: every scheme in one picture, for both rate arms and for every optimizer."""

from typing import TYPE_CHECKING, Any

from experiments import figures
from experiments.figures import Style
from experiments.papers.adadagrad import looks, size_figures
from experiments.papers.adadagrad.plans import DERIVED
from experiments.papers.adadagrad.points import RELEASED, TUNED
from experiments.statistics import Interval, mean_interval

if TYPE_CHECKING:
    import pandas

_RATES = {RELEASED: "one fixed rate", TUNED: "each at its own tuned rate"}


def draw(runs: "pandas.DataFrame", tasks: dict[str, str], settings: Any) -> Any:
    """A row for each task, with its main optimizer; a column for each rate arm."""
    import matplotlib.pyplot as plt

    rates = [rate for rate in _RATES if rate in set(runs.rate)]
    width, height = figures.size(2)
    shape: dict[str, Any] = {"squeeze": False, "sharex": "row", "sharey": "row", "layout": "constrained"}
    figure, axes = plt.subplots(len(tasks), len(rates), figsize=(width, 0.95 * height * len(tasks) + 0.5), **shape)
    for row, (task, optimizer) in zip(axes, tasks.items(), strict=True):
        for axis, rate in zip(row, rates, strict=True):
            own = runs[(runs.task == task) & (runs.optimizer == optimizer) & (runs.rate == rate)]
            if own.empty:  # this arm was not run on this task
                axis.set_axis_off()
                continue
            _panel(axis, own, settings)
            axis.set(title=f"{task}, {optimizer}: {_RATES[rate]}", xlabel="steps")
        row[0].set_ylabel("test accuracy (%)")
        _room(row[0])
    looks.legend(figure, axes, 4)
    return figure


def by_optimizer(tables: Any, task: str, settings: Any) -> Any:
    """A column for each optimizer: the batch size under the main test above, accuracy against steps below."""
    import matplotlib.pyplot as plt

    optimizers = list(settings.plans[task].plans)
    width, height = figures.size(2)
    shape: dict[str, Any] = {"squeeze": False, "sharex": "row", "sharey": "row", "layout": "constrained"}
    figure, axes = plt.subplots(2, len(optimizers), figsize=(width, 1.6 * height), **shape)
    for (above, below), optimizer in zip(axes.T, optimizers, strict=True):
        runs, sizes = (
            table[(table.task == task) & (table.optimizer == optimizer) & (table.rate == RELEASED)]
            for table in (tables["runs"], tables["sizes"])
        )
        tested = sizes[sizes.scheme == settings.main]
        if len(tested):
            size_figures.lines(above, tested, looks.of_scheme(settings.main, settings), settings.main)
        above.set(xscale="log", yscale="log", title=optimizer, xlabel="examples seen")
        _panel(below, runs[(runs.kind == "constant") | (runs.scheme == settings.main)], settings)
        below.set_xlabel("steps")
    axes[0][0].set_ylabel("batch size")
    axes[1][0].set_ylabel("test accuracy (%)")
    _room(axes[1][0])
    looks.legend(figure, axes[1:], 4)
    return figure


def _panel(axis: Any, runs: "pandas.DataFrame", settings: Any) -> None:
    """Constant sizes as a line whose points tell the size; every other scheme as a marker."""
    constant = runs[runs.kind == "constant"]
    points = sorted((_point(part), str(scheme)) for scheme, part in constant.groupby("scheme"))
    figures.line_with_intervals(axis, [(x, i, True) for (x, i), _ in points], looks.CONSTANT, "constant size")
    for (steps, interval), scheme in points:
        offset = {"xytext": (0, 5), "textcoords": "offset points", "ha": "center", "fontsize": 6}
        axis.annotate(f"{looks.size_of(scheme)}", (steps, interval.high), color=looks.CONSTANT.color, **offset)
    others = dict(list(runs[runs.kind != "constant"].groupby("scheme", sort=False)))
    alike = [scheme for scheme in others if scheme in (settings.main, *DERIVED)]  # in steps as well
    for scheme, part in others.items():
        look = looks.of_scheme(scheme, settings)
        steps, interval = _point(part)
        if scheme in alike:
            steps *= figures.beside(alike.index(scheme), len(alike)) ** 0.5
        figures.line_with_intervals(axis, [(steps, interval, True)], Style(look.color, look.marker, "none"), scheme)
    axis.set_xscale("log")
    axis.margins(x=0.1)
    looks.share_axis(axis)


def _room(axis: Any) -> None:
    """No accuracies that there are not, and room above for the numbers; called when all is drawn."""
    low, high = axis.get_ylim()
    low, high = max(low, 0.0), min(high, 1.0)
    axis.set_ylim(low, high + 0.1 * (high - low))


def _point(part: "pandas.DataFrame") -> tuple[float, Interval]:
    return float(part.steps.mean()), mean_interval(part.test_accuracy)


def caption(settings: Any, tasks: dict[str, str]) -> str:
    """In words."""
    passes = ", ".join(f"{settings.plans[task].passes} passes on {task}" for task in tasks)
    return (
        "What do fewer steps cost? Test accuracy after equally many examples against the number of steps, for every "
        f"scheme ({passes}); mean and 95% interval over {len(settings.seeds)} seeds. Numbers: constant batch sizes. On "
        "the left every scheme has the same fixed learning rate, so that large batches may be under-trained; on the "
        f"right each has the one of five (factor {settings.factor:g} around the fixed one, ours) with the lowest mean "
        f"test error on {len(settings.tuning_seeds)} other seeds. A replay has the batch sizes of another seed's run "
        "under the test and its rate, without any test. Markers of the main test and of what is derived from it are "
        "shifted sideways so that they do not hide each other."
    )


def optimizer_caption(settings: Any, task: str) -> str:
    """In words."""
    rates = ", ".join(f"{name} {plan.lr:g}" for name, plan in settings.plans[task].plans.items())
    return (
        f"Does {settings.main} suit every optimizer? Above: the batch size along training; below: test accuracy after "
        f"{settings.plans[task].passes} passes against steps, beside constant sizes (numbers), on {task}; mean and 95% "
        f"interval over {len(settings.seeds)} seeds, thin lines are seeds. Fixed rates: {rates}; only AdaGrad's is "
        "released, the others are our choice."
    )
