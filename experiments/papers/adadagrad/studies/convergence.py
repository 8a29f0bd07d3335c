"""Do the tests give rates of order 1/K, for any step size? On a problem whose noise is known at every step."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import checks
from experiments.papers.adadagrad import convergence_figures, convergence_runs
from experiments.papers.adadagrad.convergence_runs import COORDINATES, NORM
from experiments.session import Session
from experiments.study import Found
from experiments.theory.running_mean import slope
from optim.settings import SettingError, is_number, setting

if TYPE_CHECKING:
    from experiments.study import Figures

QUESTION = "Does the mean of ||grad F||^2 fall like 1/K where the batch size is what the exact test asks for?"
METHODS = (NORM, COORDINATES)
FROZEN = 1.0  # the step size of the run whose points are looked at
_VERSION = 1  # of the calculations
_PER_DECADE = 10  # values of K
_WINDOW, _LATE = 20, 4  # slopes are over [K/20, K], late ones over [K/4, K]


@dataclass(kw_only=True)
class Settings:
    """The problem, the methods and the schemes. A seed is a problem of its own and the draws of its batches."""

    examples: int = setting(500, minimum=2, doc="n of the problem")
    dimension: int = setting(20, minimum=1, doc="d of the problem")
    flipped: float = setting(0.25, minimum=0.0, below=0.5, doc="share of the labels that is flipped")
    steps: int = setting(10_000, minimum=100, doc="K, the last one")
    alpha: list[float] = field(metadata={"doc": "step sizes"})
    eta: list[float] = field(metadata={"doc": "of the tests"})
    initial_batch_size: int = setting(2, minimum=2, doc="b_0 of the tests, which never ask for less")
    constant: list[int] = setting([2], doc="constant batch sizes to compare with; the claims look at the first")
    v_0: float = setting(1e-10, above=0.0, doc="AdaGrad-Norm's accumulator at the start")
    eps: float = setting(1e-10, above=0.0, doc="AdaGrad's, added to the root")
    frozen_at: list[int] = field(metadata={"doc": "steps of the full-gradient run whose points are looked at"})
    draws: int = setting(2000, minimum=2, doc="batches at each of these points")
    seeds: list[int] = field(metadata={"doc": "problems with the draws of their batches"})

    def __post_init__(self) -> None:
        checks.distinct(self, "alpha", "eta", "constant", "frozen_at", "seeds")
        for name, least in (("constant", 1), ("frozen_at", 0)):
            for value in getattr(self, name):
                if value < least:
                    raise SettingError(f"{name} must hold whole numbers from {least}, not {value}")
        for name in ("alpha", "eta"):
            for value in getattr(self, name):
                if not is_number(value) or value <= 0:
                    raise SettingError(f"{name} must hold numbers above 0, not {value!r}")


def recorded(steps: int) -> list[int]:
    """The K that are recorded: ten in a decade, and the ends of the window that slopes are taken over."""
    count = math.ceil(_PER_DECADE * math.log10(steps)) + 1
    spaced = {round(k) for k in np.geomspace(1, steps, count)}
    return sorted(spaced | {max(1, round(steps / _WINDOW)), steps})


def measure(settings: Settings, session: Session) -> Found:
    """Tables: `curves`, A_K, the batch size of step K and the draws so far by K, at the alpha nearest to 1;
    `runs`, one row for each run (see `_summary`); `moments`, the Monte Carlo of the enforced inequality (see
    `convergence_runs.moments`).
    """
    import pandas as pd

    problem = {name: getattr(settings, name) for name in ("examples", "dimension", "flipped")}
    shared = {"problem": problem, "eta": settings.eta, "initial": settings.initial_batch_size}
    shared |= {"v_0": settings.v_0, "eps": settings.eps}
    each = [{"seed": seed, "method": method, **shared} for method in METHODS for seed in settings.seeds]
    whole = {"alpha": settings.alpha, "constant": settings.constant, "at": recorded(settings.steps)}
    paths = session.calculate(convergence_runs.paths, _VERSION, [{**one, **whole} for one in each], "mean gradients")
    frozen = {"alpha": FROZEN, "at": settings.frozen_at, "draws": settings.draws}
    moments = session.calculate(
        convergence_runs.moments, _VERSION, [{**one, **frozen} for one in each], "second moments at frozen points"
    )
    series = ["steps", "mean_square", "size", "examples"]
    near = min(settings.alpha, key=lambda alpha: abs(math.log(alpha)))
    drawn = [row for row in paths if row["alpha"] == near]
    curves = pd.DataFrame(drawn).drop(columns=["sampled", "kept"]).explode(series, ignore_index=True)
    tables = {
        "curves": curves.astype({"eta": float, "batch": float} | dict.fromkeys(series, float)).astype({"steps": int}),
        "runs": pd.DataFrame([_summary(row) for row in paths]).astype({"eta": float, "batch": float}),
        "moments": pd.DataFrame(moments),
    }
    return Found(tables)


def _summary(row: dict[str, Any]) -> dict[str, Any]:
    """Labels of a run with: slope and late, of log A_K against log K over [K/20, K] and [K/4, K]; total, K A_K;
    size and examples at the end; sampled, the number of steps with a batch and not the exact gradient; kept, the share
    of these at which the exact test's inequality held (NaN without a test).
    """
    labels = {name: row[name] for name in ("method", "seed", "alpha", "scheme", "eta", "batch")}
    steps, means = np.asarray(row["steps"]), np.asarray(row["mean_square"])
    last = int(steps[-1])
    slopes = {}
    for name, part in (("slope", _WINDOW), ("late", _LATE)):
        chosen = steps >= round(last / part)
        slopes[name] = slope(steps[chosen], means[chosen])
    share = row["kept"] / row["sampled"] if row["kept"] is not None and row["sampled"] else math.nan
    return {
        **labels,
        **slopes,
        "steps": last,
        "total": last * float(means[-1]),
        "size": row["size"][-1],
        "examples": row["examples"][-1],
        "sampled": row["sampled"],
        "kept": share,
    }


def draw(found: Found, settings: Settings) -> "Figures":
    """A_K by steps and by draws, slopes and totals by step size, and whether the inequality is kept."""
    return convergence_figures.draw(found.tables, settings, QUESTION)
