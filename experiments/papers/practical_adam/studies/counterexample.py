"""Adam on the counterexample of Reddi, Kale and Kumar: which decays of the second moment let it converge, and when."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import checks
from experiments.papers.practical_adam import counterexample_figures, counterexample_forms, counterexample_runs, looks
from experiments.papers.practical_adam.counterexample_forms import ADOPT, CLIPPED, GENERIC, LARGEST, Form
from experiments.session import Session
from experiments.study import Found
from optim.settings import SettingError, is_number, setting

if TYPE_CHECKING:
    from experiments.study import Figures

QUESTION = "Which second-moment decays take Adam to the right end of the counterexample, and when does it turn?"
_VERSION = 2  # of the calculation
_LEVEL = 0.95
CONTROLS = {"AMSGrad": LARGEST, "ADOPT": ADOPT, "ADOPT, clipped": CLIPPED}


@dataclass(kw_only=True)
class Settings:
    """The forms, the decays and the seeds. All methods of a form see the same draws."""

    forms: dict[str, Any] = field(metadata={"doc": "by name: big, delta, scale, c, cyclic, steps; the first is main"})
    r: list[float] = field(metadata={"doc": "of theta_t = 1 - (c + (1 - c) r)/t^r"})
    beta: list[float] = field(metadata={"doc": "first-moment decays; the first is main"})
    s: float = setting(0.5, above=0.0, maximum=1.0, doc="of alpha_t = lr/t^s")
    lr: float = setting(0.5, above=0.0, doc="learning rate at t = 1")
    start: float = setting(0.5, minimum=-1.0, maximum=1.0, doc="x_1")
    seeds: int = setting(32, minimum=2, doc="number of them; the cyclic form is one path")

    def __post_init__(self) -> None:
        checks.distinct(self, "r", "beta")
        for name, most in (("r", looks.MOST_R), ("beta", 2)):
            if len(getattr(self, name)) > most:
                raise SettingError(f"{name} must hold at most {most} numbers, as no more can be told apart in a figure")
        for name, below in (("r", math.nextafter(1, 2)), ("beta", 1.0)):
            for value in getattr(self, name):
                if not is_number(value) or not 0 <= value < below:
                    raise SettingError(f"{name} must hold numbers from 0 to 1 (beta below 1), not {value!r}")
        self.parsed = counterexample_forms.forms(self.forms, "forms")


def measure(settings: Settings, session: Session) -> Found:
    """Tables: `ends`, by seed: late, the mean of x over the last tenth of the steps, regret and earlier, the average
    regret at T and at T/10, worst, that of standing at +1, and turn, the last step after which x is above 0. A cyclic
    form has one row and its realised regret, another its expected one.

    `turns`, by method: turn, the same of the mean over the seeds, with an interval by resampling the seeds (high is
    infinite where it may never turn; a cyclic form has n = 1 and no bounds); the predicted reversal and the drift that
    remains after it (section 3 of the page). `orders`: the ratio of the turns of two neighbours in r. `curves`
    and `seeds`: x and the average regret by t; seeds has other places in the cycle to begin at, too.
    """
    import pandas as pd

    rows = []
    for name, form in settings.parsed.items():
        groups = [{**shared_config(settings, form), "methods": group} for group in _groups(settings)]
        found = session.calculate(counterexample_runs.paths, _VERSION, groups, f"counterexample, {name}")
        rows += [{"form": name, **row} for row in found]
    labels = ("form", "method", "kind", "beta", "r")
    ends, curves, seeds = [], [], []
    for row in rows:
        own = {label: row[label] for label in labels}
        form = settings.parsed[row["form"]]
        about = {"steps": form.steps, "worst": 2 * form.family().mean_slope}
        columns = zip(row["late"], row["regrets"], row["earlier"], row["turns"], strict=True)
        names = ("late", "regret", "earlier", "turn")
        ends += [{**own, **about, "seed": seed, **dict(zip(names, of, strict=True))} for seed, of in enumerate(columns)]
        along = zip(*(row[column] for column in ("steps", "mean", "low", "high", "regret")), strict=True)
        curves += [{**own, **dict(zip(("t", "x", "low", "high", "regret"), at, strict=True))} for at in along]
        if row["beta"] == settings.beta[0] or (row["beta"], row["r"]) == (0, 1):  # the latter is RMSProp
            short = {label: row[label] for label in ("form", "method", "beta")}
            seeds += [
                {**short, "seed": seed, "t": t, "x": x}
                for seed, path in zip(_seeds(settings, form), row["paths"], strict=True)
                for t, x in zip(row["seen"], path, strict=True)
            ]
    tables = {
        "ends": pd.DataFrame(ends),
        "turns": pd.DataFrame([_turn(row, settings) for row in rows]),
        "orders": pd.DataFrame(_orders(rows), columns=["form", "beta", "r", "beside", "ratio", "low", "high", "n"]),
        "curves": pd.DataFrame(curves),
        "seeds": pd.DataFrame(seeds),
    }
    return Found(tables)


def shared_config(settings: Settings, form: Form) -> dict[str, Any]:
    """What all calculations on a form share."""
    shared = {"lr": settings.lr, "start": settings.start, "steps": form.steps}
    return {"form": counterexample_forms.plain(form), "seeds": _seeds(settings, form), **shared}


def _seeds(settings: Settings, form: Form) -> list[int]:
    """What is run: in the cyclic form the page's place to begin at, and others to be drawn beside it."""
    return counterexample_forms.places(form) if form.cyclic else counterexample_forms.sample(form, settings.seeds)


def _groups(settings: Settings) -> list[list[dict[str, Any]]]:
    """The decays at each beta, and the methods that are beside the question; one calculation each."""
    groups = [
        [{"name": f"r = {r:g}", "kind": GENERIC, "beta": beta, "r": r, "s": settings.s} for r in settings.r]
        for beta in settings.beta
    ]
    main = {"beta": settings.beta[0], "r": 0.0, "s": settings.s}
    return [*groups, [{"name": name, "kind": kind, **main} for name, kind in CONTROLS.items()]]


def _turn(row: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """One row of `turns`."""
    form = settings.parsed[row["form"]]
    labels = {label: row[label] for label in ("form", "method", "kind", "beta", "r")}
    low, high = -math.inf, math.inf
    if not form.cyclic:
        low, high = _bounds(_numbers(row["before"]), _numbers(row["after"]))
    own = {**labels, "steps": form.steps, "turn": _turning(row), "low": low, "high": high, "n": len(row["late"])}
    predicted = drift = math.nan
    if row["kind"] == GENERIC:
        predicted, drift = form.reversal(row["r"]), form.drift(row["r"], settings.s, settings.lr)
    return {**own, "predicted": predicted, "drift": drift}


def _orders(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turn at each r over that at the next larger one, with an interval by resampling: both see the same draws."""
    found = []
    kept = [row for row in rows if row["kind"] == GENERIC and row["r"] > 0]
    for row in kept:
        same = [other for other in kept if (other["form"], other["beta"]) == (row["form"], row["beta"])]
        larger = [other for other in same if other["r"] > row["r"]]
        if not larger:
            continue
        fast = min(larger, key=lambda other: float(other["r"]))
        low, high = -math.inf, math.inf
        if row["before"]:  # not one deterministic path
            low, high = _bounds(
                _ratios(_numbers(row["before"]), _numbers(fast["after"]), unknown=0.0),
                _ratios(_numbers(row["after"]), _numbers(fast["before"]), unknown=math.inf),
            )
        ratio = _ratios(np.array(_turning(row)), np.array(_turning(fast)), unknown=math.nan).item()
        labels = {"form": row["form"], "beta": row["beta"], "r": row["r"], "beside": fast["r"]}
        found.append({**labels, "ratio": ratio, "low": low, "high": high, "n": len(row["late"])})
    return found


def _numbers(steps: Sequence[int | None]) -> np.ndarray:
    return np.array([math.inf if step is None else step for step in steps], dtype=float)


def _turning(row: dict[str, Any]) -> float:
    """The step at which the mean turns, infinite where it ends above 0."""
    return math.inf if row["turn"] == row["steps"][-1] else float(row["turn"])


def _ratios(top: np.ndarray, bottom: np.ndarray, unknown: float) -> np.ndarray:
    """Quotients of turning steps; `unknown` where both never turn, or both are never above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = top / bottom
    return np.where(np.isnan(found), unknown, found)


def _bounds(low: np.ndarray, high: np.ndarray) -> tuple[float, float]:
    """The two ends of the interval from resamples that are known to lie between these, up to the recording grid."""
    left = np.quantile(low, (1 - _LEVEL) / 2, method="lower")
    return float(left), float(np.quantile(high, (1 + _LEVEL) / 2, method="higher"))


def draw(found: Found, settings: Settings) -> "Figures":
    """The iterate and its regret, in each form, and the turns beside what is predicted."""
    return counterexample_figures.draw(found.tables, settings, QUESTION)
