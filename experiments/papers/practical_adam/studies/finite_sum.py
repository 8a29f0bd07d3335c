"""The finite sum of Zhang et al.: the boundary between convergence and divergence moves with the batch size."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from experiments import checks
from experiments.papers.practical_adam import finite_sum_figures, finite_sum_runs
from experiments.papers.practical_adam.finite_sum_runs import ADAM, ADOPT, MINIMISER, REPLACEMENT, RESHUFFLED
from experiments.session import Session
from experiments.study import Found
from optim.settings import SettingError, setting

if TYPE_CHECKING:
    from experiments.study import Figures

QUESTION = "For which constant decays does Adam diverge on a finite sum, and how does the batch size move the boundary?"
_VERSION = 3  # of the calculation
ARMS = ((ADAM, RESHUFFLED), (ADAM, REPLACEMENT), (ADOPT, RESHUFFLED))


@dataclass(kw_only=True)
class Settings:
    """The sum, the grid of decays and the batches. All points of the grid see the same draws."""

    examples: int = setting(12, minimum=2, doc="n, the number of functions")
    batches: list[int] = field(metadata={"doc": "batch sizes; each divides n"})
    cells: int = setting(20, minimum=2, doc="values of beta_1, evenly from 0 and below 1, and of 1 - beta_2")
    least: float = setting(1e-3, above=0.0, doc="the least 1 - beta_2, from 1 on evenly on a logarithmic axis")
    lr: float = setting(0.5, above=0.0, doc="of alpha_t = lr/sqrt(t)")
    start: float = setting(0.0, above=-1.0, doc="x_1")
    steps: int = setting(20_000, minimum=100, doc="T")
    seeds: int = setting(8, minimum=2, doc="orders of the functions")

    def __post_init__(self) -> None:
        checks.distinct(self, "batches")
        for batch in self.batches:
            if batch < 1 or self.examples % batch:
                raise SettingError(f"batches must divide examples={self.examples}, and {batch} does not")
            if self.least >= finite_sum_runs.predicted_boundary(self.examples, batch):
                raise SettingError(f"least={self.least:g} is not below the boundary predicted for b={batch}: lower it")

    @property
    def betas(self) -> list[float]:
        """The values of beta_1: 0, for which there is a prediction, and on."""
        return [k / self.cells for k in range(self.cells)]

    @property
    def rests(self) -> list[float]:
        """The values of 1 - beta_2, which increase up to 1."""
        return [float(rest) for rest in np.geomspace(self.least, 1, self.cells)]


def measure(settings: Settings, session: Session) -> Found:
    """Tables: `square`, the median over seeds of |x_T - (-2)| by method, sampling, batch size, beta_1 and
    rest = 1 - beta_2 (infinite where it is not finite), and diverged: whether that is more than at the start. `shares`,
    the share of the grid that diverged: the mean over seeds of each seed's, and the largest and smallest. `boundaries`:
    at beta_1 = 0, the largest 1 - beta_2 up to which the median converges everywhere (inside; 0 if nowhere), the next
    one of the grid (outside; infinite if everywhere), and what is predicted of Adam, for independent draws.
    """
    import pandas as pd

    shared = {
        "examples": settings.examples,
        "beta_1": settings.betas,
        "rest_of_beta_2": settings.rests,
        "lr": settings.lr,
    }
    shared |= {"start": settings.start, "steps": settings.steps, "seeds": list(range(settings.seeds))}
    square, shares, boundaries = [], [], []
    away = settings.start - MINIMISER
    for method, sampling in ARMS:
        for batch in settings.batches:
            config = {"method": method, "sampling": sampling, "batch": batch, **shared}
            rows = session.calculate(finite_sum_runs.distances, _VERSION, [config], f"finite sum, b = {batch}")
            labels = {"method": method, "sampling": sampling, "batch": batch}
            found = np.array([[math.inf if d is None else d for d in row["distances"]] for row in rows])
            medians = np.median(found, axis=1)
            square += [
                {**labels, "beta_1": row["beta_1"], "rest": row["rest"], "distance": d, "diverged": bool(d > away)}
                for row, d in zip(rows, medians.tolist(), strict=True)
            ]
            by_seed = (found > away).mean(axis=0)
            shares.append({**labels, "share": by_seed.mean(), "least": by_seed.min(), "most": by_seed.max()})
            along = (medians > away)[: settings.cells].tolist()  # beta_1 = 0
            inside, outside = finite_sum_runs.boundary(settings.rests, along)
            predicted = finite_sum_runs.predicted_boundary(settings.examples, batch) if method == ADAM else math.nan
            boundaries.append({**labels, "inside": inside, "outside": outside, "predicted": predicted})
    tables = {"square": square, "shares": shares, "boundaries": boundaries}
    return Found({name: pd.DataFrame(rows) for name, rows in tables.items()})


def draw(found: Found, settings: Settings) -> "Figures":
    """Maps of the square, and the share that diverges by batch size."""
    return finite_sum_figures.draw(found.tables, settings, QUESTION)
