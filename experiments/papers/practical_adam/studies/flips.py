"""Two phase transitions: the constant theta, and the batch size, from which Adam ends at the right end."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import checks
from experiments.papers.practical_adam import counterexample_forms, flips_figures, flips_runs
from experiments.papers.practical_adam.counterexample_forms import Form
from experiments.papers.practical_adam.counterexample_runs import resamples
from experiments.papers.practical_adam.flips_runs import BATCH, WINDOW
from experiments.session import Session
from experiments.study import Found
from experiments.theory.counterexamples import flip_batch, flip_window
from optim.settings import SettingError, is_number, setting

if TYPE_CHECKING:
    from experiments.study import Figures

QUESTION = "From which window of the second moment, and from which batch size, does Adam end at the right end?"
_VERSION = 1  # of the calculations
_LEVEL = 0.95


@dataclass(kw_only=True)
class Settings:
    """The families of counterexamples, and how far around the predictions to look."""

    families: dict[str, Any] = field(
        metadata={"doc": "by name: big, delta, scale, c, cyclic, steps; the first is main"}
    )
    multiples: list[float] = field(metadata={"doc": "windows and batch sizes, in multiples of what is predicted"})
    beta: list[float] = field(metadata={"doc": "first-moment decays; the first is main"})
    lr: float = setting(0.5, above=0.0, doc="of alpha_t = lr/sqrt(t)")
    start: float = setting(0.5, minimum=-1.0, maximum=1.0, doc="x_1")
    seeds: int = setting(16, minimum=2, doc="number of them; a cyclic family is one path")

    def __post_init__(self) -> None:
        checks.distinct(self, "multiples", "beta")
        if not all(is_number(value) and 0 <= value < 1 for value in self.beta):
            raise SettingError(f"beta must hold numbers from 0 and below 1, not {self.beta}")
        if not all(is_number(value) and value > 0 for value in self.multiples):
            raise SettingError(f"multiples must hold numbers above 0, not {self.multiples}")
        self.parsed = counterexample_forms.forms(self.families, "families")
        for name, most in (("families", flips_figures.MOST_FAMILIES), ("beta", flips_figures.MOST_BETA)):
            if len(getattr(self, name)) > most:
                raise SettingError(f"{name} must hold at most {most}, as no more can be told apart in a figure")
        for name, form in self.parsed.items():
            if flip_window(form.big, form.delta) * min(self.multiples) <= 1:
                raise SettingError(f"families: '{name}' would have a window of at most 1: raise the least of multiples")

    def windows(self, form: Form) -> list[float]:
        """The windows that are tried."""
        return [flip_window(form.big, form.delta) * multiple for multiple in sorted(self.multiples)]

    def batches(self, form: Form) -> list[int]:
        """The batch sizes that are tried: whole numbers, each once."""
        predicted = predicted_batch(form)
        return sorted({max(1, round(predicted * multiple)) for multiple in self.multiples})


def predicted_batch(form: Form) -> float:
    """b*, at the form's own theta."""
    return float(flip_batch(form.big, form.delta, 1 - form.c))


def measure(settings: Settings, session: Session) -> Found:
    """Tables: `ends`, one row for each family, what is swept (window or batch), beta, value and seed: end, the mean of
    x over the last tenth of the steps, and drift, what remains of it (section 3 of the page). `flips`: where the mean
    of these crosses 0, with an interval by resampling the seeds, beside the prediction. A cyclic family is one
    deterministic path: n = 1 and no bounds.
    """
    import pandas as pd

    ends, flips = [], []
    for name, form in settings.parsed.items():
        shared = {"form": counterexample_forms.plain(form), "lr": settings.lr, "start": settings.start}
        shared |= {"steps": form.steps, "seeds": counterexample_forms.sample(form, settings.seeds)}
        windows = [{"beta": beta, "windows": settings.windows(form), **shared} for beta in settings.beta]
        batches = [{"beta": settings.beta, "batch": batch, **shared} for batch in settings.batches(form)]
        rows = {
            WINDOW: session.calculate(flips_runs.windows, _VERSION, windows, f"windows, {name}"),
            BATCH: session.calculate(flips_runs.batches, _VERSION, batches, f"batch sizes, {name}"),
        }
        predictions = {WINDOW: flip_window(form.big, form.delta), BATCH: predicted_batch(form)}
        for swept, found in rows.items():
            for beta in settings.beta:
                own = [row for row in found if row["beta"] == beta]
                labels = {"family": name, "swept": swept, "beta": beta, "predicted": predictions[swept]}
                for row in own:
                    ratio = row["value"] / predictions[swept]
                    drift = remaining_drift(form, settings.lr, ratio, row["value"] if swept == BATCH else 1)
                    of = {**labels, "value": row["value"], "drift": drift}
                    ends += [{**of, "seed": seed, "end": end} for seed, end in enumerate(row["late"])]
                flips.append({**labels, **_flip(own)})
    return Found({"ends": pd.DataFrame(ends), "flips": pd.DataFrame(flips)})


def remaining_drift(form: Form, lr: float, ratio: float, batch: float) -> float:
    """Section 3's sum of normalised drift over all steps at constant theta, for a window or batch size of so many times
    what is predicted, to leading order: `(delta/sqrt(E g^2)) (1 - 1/ratio) sum lr/sqrt(t)`, g a mean over the batch.

    Negative below the prediction: the drift to the wrong end.
    """
    family = form.family()
    square = family.mean_slope**2
    moment = square + (family.mean_square - square) / batch
    total = float((np.arange(1, form.steps + 1) ** -0.5).sum()) * lr
    return family.mean_slope / math.sqrt(moment) * (1 - 1 / ratio) * total


def _flip(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Where the mean over seeds crosses 0, with its interval over resamples of the seeds; of one path without one."""
    values, ends = [row["value"] for row in rows], np.array([row["late"] for row in rows])
    value, seeds = float(flips_runs.crossings(values, ends.mean(axis=1))[0]), ends.shape[1]
    if seeds == 1:
        return {"flip": value, "low": -math.inf, "high": math.inf, "n": 1}
    drawn = flips_runs.crossings(values, resamples(seeds) @ ends.T / seeds)
    low, high = (np.quantile(drawn, side, method=way) for side, way in _SIDES)
    return {"flip": value, "low": float(low), "high": float(high), "n": seeds}


_SIDES: tuple[tuple[float, Any], ...] = (((1 - _LEVEL) / 2, "lower"), ((1 + _LEVEL) / 2, "higher"))


def draw(found: Found, settings: Settings) -> "Figures":
    """The end by window and by batch size, and the measured flips beside the predicted ones."""
    return flips_figures.draw(found.tables, settings, QUESTION)
