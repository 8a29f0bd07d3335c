"""Figures of the study `training`, with their captions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.papers.adadagrad import scheme_figures, size_figures, trade_figures

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures


def draw(
    tables: Mapping[str, "pandas.DataFrame"], settings: Any, optimizers: Mapping[str, str], question: str
) -> "Figures":
    """All of them. optimizers: the main one of each task; tasks that were not run are left out."""
    runs = tables["runs"]
    tasks = {task: optimizer for task, optimizer in optimizers.items() if task in set(runs.task)}
    first, main = next(iter(tasks.items()))
    drawn = {
        "training_curves": (
            scheme_figures.draw(tables, first, main, settings),
            scheme_figures.caption(runs, settings, first, main, question),
        ),
        "batch_sizes": (size_figures.draw(tables["sizes"], tasks, settings), size_figures.caption(settings, tasks)),
        "trade": (trade_figures.draw(runs, tasks, settings), trade_figures.caption(settings, tasks)),
    }
    several = next((task for task in tasks if len(settings.plans[task].plans) > 1), None)
    if several:
        figure = trade_figures.by_optimizer(tables, several, settings)
        drawn["optimizers"] = (figure, trade_figures.optimizer_caption(settings, several))
    return drawn
