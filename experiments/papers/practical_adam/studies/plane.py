"""The plane of exponents: where Generic Adam ends on the counterexample, and where theory says that it ends well."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import checks
from experiments.papers.practical_adam import counterexample_forms, plane_figures, plane_runs
from experiments.session import Session
from experiments.statistics import mean_interval
from experiments.study import Found
from optim.settings import SettingError, is_number, setting

if TYPE_CHECKING:
    from experiments.study import Figures

QUESTION = "Where in the plane of alpha_t = lr/t^s and 1 - theta_t ~ 1/t^r does Adam end near the right end?"
_VERSION = 1  # of the calculations


@dataclass(kw_only=True)
class Settings:
    """The plane. All points of a form see the same draws."""

    forms: dict[str, Any] = field(metadata={"doc": "by name: big, delta, scale, c, steps; the first is main"})
    r: list[float] = field(metadata={"doc": "of theta_t = 1 - (c + (1 - c) r)/t^r"})
    s: list[float] = field(metadata={"doc": "of alpha_t = lr/t^s"})
    cuts: list[float] = field(metadata={"doc": "the r of the cuts along s; each is one of r"})
    beta: list[float] = field(metadata={"doc": "first-moment decays; the first is main"})
    lr: float = setting(0.5, above=0.0, doc="learning rate at t = 1")
    start: float = setting(0.5, minimum=-1.0, maximum=1.0, doc="x_1")
    seeds: int = setting(8, minimum=2, doc="number of them; a cyclic form is one path")
    horizon: int = setting(1_000_000, minimum=1000, doc="steps that the checker of the condition looks at")

    def __post_init__(self) -> None:
        checks.distinct(self, "r", "s", "cuts", "beta")
        for name in ("r", "s", "beta"):
            for value in getattr(self, name):
                if not is_number(value) or not 0 <= value <= 1 or (name == "beta" and value == 1):
                    raise SettingError(f"{name} must hold numbers from 0 to 1 (beta below 1), not {value!r}")
        if set(self.cuts) - set(self.r):
            raise SettingError(f"cuts must be among r={self.r}, not {self.cuts}")
        self.parsed = counterexample_forms.forms(self.forms, "forms")


def measure(settings: Settings, session: Session) -> Found:
    """Tables: `points`, one row for each form, beta, r and s: condition and exact, whether the sufficient condition
    holds by the checker and by 0 < r <= 2s < 2; drift, that remains after the reversal (section 3 of the page); noise,
    how far from -1 noise alone holds x at the end; end, the mean of x over the last tenth of the steps, with its
    interval over seeds. `ends`: the same by seed. `curves`: mean of x by t on the cuts.
    """
    import pandas as pd

    points, ends, curves = [], [], []
    for name, form in settings.parsed.items():
        checked = _conditions(settings, form, session)
        shared = {"form": counterexample_forms.plain(form), "s": settings.s, "lr": settings.lr, "start": settings.start}
        shared |= {"steps": form.steps, "seeds": counterexample_forms.sample(form, settings.seeds)}
        configs = [{"r": r, "beta": beta, **shared} for beta in settings.beta for r in settings.r]
        for row in session.calculate(plane_runs.outcomes, _VERSION, configs, f"plane, {name}"):
            r, s = row["r"], row["s"]
            labels = {"form": name, "beta": row["beta"], "r": r, "s": s}
            of_seeds = mean_interval(row["late"])
            noise = form.noise(r, s, settings.lr)
            found = {"noise": noise, "end": of_seeds.value, "low": of_seeds.low, "high": of_seeds.high, "n": of_seeds.n}
            points.append(
                {**labels, "steps": form.steps, **checked[r, s], "drift": form.drift(r, s, settings.lr), **found}
            )
            ends += [{**labels, "seed": seed, "end": end} for seed, end in enumerate(row["late"])]
            if r in settings.cuts and row["beta"] == settings.beta[0]:
                curves += [{**labels, "t": t, "x": x} for t, x in zip(row["steps"], row["x"], strict=True)]
    return Found({"points": pd.DataFrame(points), "ends": pd.DataFrame(ends), "curves": pd.DataFrame(curves)})


def _conditions(
    settings: Settings, form: counterexample_forms.Form, session: Session
) -> dict[tuple[float, float], dict[str, bool]]:
    """Whether the sufficient condition holds at (r, s), by the checker and by the rule."""
    shared = {"s": settings.s, "beta": settings.beta[0], "c": form.c, "horizon": settings.horizon}
    configs = [{"r": r, **shared} for r in settings.r]
    rows = session.calculate(plane_runs.conditions, _VERSION, configs, "sufficient condition")
    return {(row["r"], row["s"]): {"condition": row["found"], "exact": row["exact"]} for row in rows}


def draw(found: Found, settings: Settings) -> "Figures":
    """The plane with what was measured on it, and cuts through it."""
    return plane_figures.draw(found.tables, settings, QUESTION)
