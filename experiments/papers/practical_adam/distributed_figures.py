"""The figure of the study `distributed`, with its caption."""

from typing import TYPE_CHECKING, Any

from experiments import figures
from experiments.figures import Style

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

TOLERANCE = 1e-12
_LEAST = 1e-17  # where differences of 0 are drawn
_LOOKS = (Style("#0072B2", "o"), Style("#D55E00", "s"), Style("#009E73", "^"), Style("#CC79A7", "v"))


def draw(table: "pandas.DataFrame", settings: Any, question: str) -> "Figures":
    """One figure; none where no number of processes was possible."""
    return {} if table.empty else {"distributed": (_figure(table), _caption(table, settings, question))}


def _figure(table: "pandas.DataFrame") -> Any:
    """A panel of differences for each task, and the time of a step."""
    import matplotlib.pyplot as plt

    tasks = list(table.task.unique())
    width, height = figures.size(2)
    figure, axes = plt.subplots(1, len(tasks) + 1, figsize=(width, height), layout="constrained")
    for axis, task in zip(axes, tasks, strict=False):
        _differences(axis, table[(table.task == task) & (table.processes > 1)])
        axis.set_title(task, loc="left")
    for axis in axes[1:-1]:
        axis.sharey(axes[0])
        axis.tick_params(labelleft=False)
    axes[0].set_ylabel("relative difference")
    _times(axes[-1], table)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def _differences(axis: Any, table: "pandas.DataFrame") -> None:
    counts = table.groupby("processes")
    for place, ((n, rows), look) in enumerate(zip(counts, _LOOKS, strict=False)):
        steps = rows.steps * figures.beside(place, counts.ngroups)
        drawn = {"color": look.color, "marker": look.marker, "markersize": 3.5, "zorder": 3}
        axis.plot(steps, rows.parameters.clip(lower=_LEAST), "-", label=f"N = {n}", **drawn)
        axis.plot(steps, rows.control, ":", linewidth=0.9, markerfacecolor="white", **drawn)
    axis.axhline(TOLERANCE, color="black", linestyle="--", linewidth=0.8)
    axis.annotate("tolerance", (0.98, TOLERANCE), xycoords=("axes fraction", "data"), ha="right", va="bottom", size=7)
    axis.annotate("against batch b: differs", (0.02, 0.98), xycoords="axes fraction", va="top", size=7)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_ylim(_LEAST / 2, 30)
    axis.set_yticks([1e-16, 1e-12, 1e-8, 1e-4, 1])
    axis.minorticks_off()
    figures.plain_log_ticks(axis, "x")
    axis.set_xlabel("steps")


def _times(axis: Any, table: "pandas.DataFrame") -> None:
    """Milliseconds for each step of the longest runs."""
    longest = table[table.steps == table.steps.max()]
    looks = (Style("#7F7F7F", "o"), Style("#7F7F7F", "D", "--"))
    for (task, rows), look in zip(longest.groupby("task", sort=False), looks, strict=False):
        drawn = {"color": look.color, "marker": look.marker, "markersize": 3.5, "label": str(task).rpartition("/")[2]}
        axis.plot(rows.processes, 1000 * rows.seconds_per_step, look.line, **drawn)
    axis.set_xticks(sorted(table.processes.unique()))
    axis.set_xlabel("processes N")
    axis.set_ylabel("time of a step (ms)")
    axis.set_ylim(bottom=0)
    figures.label_lines(axis)


def _caption(table: "pandas.DataFrame", settings: Any, question: str) -> str:
    several = table[table.processes > 1]
    backend = "gloo" if settings.device == "cpu" else "nccl"
    counts = ", ".join(str(n) for n in sorted(several.processes.unique()))
    return (
        f"{question} Largest difference of the parameters, over the largest parameter, between one process with "
        f"batches of {settings.batch} and N processes (torchrun, {backend}) that share each batch equally, "
        f"N = {counts}, after the same steps of Generic Adam in float64 (filled; at most "
        f"{several.parameters.max():.2g}, and {several.metrics.max():.2g} for a recorded metric). Open markers, "
        f"dotted: the same difference against one process with the batch of a single one of the N, {settings.batch}/N, "
        f"which must not be small. Dashed: the tolerance, 1e-12. Differences of 0 are drawn at 1e-17, and markers are "
        f"shifted sideways. Right: time of a step on the machine that ran it, over {several.steps.max()} steps; N "
        f"processes share its cores, so that small networks gain nothing. Tasks, batch and learning rate are our "
        f"choices."
    )
