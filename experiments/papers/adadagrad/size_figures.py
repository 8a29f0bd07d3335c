"""The batch size along training, under each test."""

from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import figures
from experiments.papers.adadagrad import looks
from experiments.papers.adadagrad.points import RELEASED

if TYPE_CHECKING:
    import pandas

_LOWEST = 1.0  # examples; the first step has seen none, which a logarithmic axis cannot show


def draw(sizes: "pandas.DataFrame", tasks: dict[str, str], settings: Any) -> Any:
    """One panel for each task, with its main optimizer, at the fixed rate."""
    import matplotlib.pyplot as plt

    width, height = figures.size(min(len(tasks), 2))
    shape: dict[str, Any] = {"squeeze": False, "sharey": True, "layout": "constrained"}
    figure, axes = plt.subplots(1, len(tasks), figsize=(width, 1.25 * height), **shape)
    for axis, (task, optimizer) in zip(axes[0], tasks.items(), strict=True):
        table = sizes[(sizes.task == task) & (sizes.optimizer == optimizer) & (sizes.rate == RELEASED)]
        tested = [name for name in settings.tests if name in set(table.scheme)]
        for scheme in tested:
            lines(axis, table[table.scheme == scheme], looks.of_scheme(scheme, settings), scheme)
        axis.set(xscale="log", yscale="log", title=f"{task}, {optimizer}", xlabel="examples seen")
    axes[0][0].set_ylabel("batch size")
    looks.legend(figure, axes, 2 * min(len(tasks), 2))
    return figure


def lines(axis: Any, table: "pandas.DataFrame", look: Any, label: str) -> None:
    """The size of every seed thin, their geometric mean thick."""
    parts = [part for _, part in table.groupby("seed")]
    grid = np.geomspace(_LOWEST, max(float(part.examples.max()) for part in parts), 200)
    logs = []
    for part in parts:
        seen, size = part.examples.clip(lower=_LOWEST).to_numpy(), part["size"].to_numpy()
        axis.step(seen, size, look.line, where="post", color=look.color, linewidth=0.4, alpha=0.4)
        logs.append(np.log(size[np.searchsorted(part.examples.to_numpy(), grid, side="right") - 1]))
    mean = np.exp(np.mean(logs, axis=0))
    axis.step(grid, mean, look.line, where="post", color=look.color, linewidth=1.3, label=label)


def caption(settings: Any, tasks: dict[str, str]) -> str:
    """In words."""
    first = ", ".join(f"{settings.plans[task].first_size} on {task}" for task in tasks)
    return (
        "How does the batch size grow under each test? Batch size against the examples seen before the step, at the "
        f"fixed rate. Thin lines: {len(settings.seeds)} seeds; thick: their geometric mean. The first size is {first}; "
        "there is a test at every step until the cap, and the size never falls. The norm test with eta aims at 1/eta^2 "
        "noise scales B = tr V/||g||^2 (100 of them at eta = 0.1, 16 at 0.25, 4 at 0.5), and far below that one test "
        "multiplies the size by about 1/eta^2 whatever the signal is, because ||ghat||^2 is mostly noise then: a near "
        "jump says more about the estimate than about the training. The unbiased estimate takes the noise out of "
        "||ghat||^2, and says nothing where that leaves less than 0. The tests other than the norm test and the "
        "augmented one with nu = 1 are shown without a claim, or are arms of ours."
    )
