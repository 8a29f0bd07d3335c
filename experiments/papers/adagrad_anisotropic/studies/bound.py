"""Projected and averaged AdaGrad against its convex bound, constants and all."""

import functools
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from data import MissingData
from experiments import checks, config, curves
from experiments.papers.adagrad_anisotropic import bound_figures, box_facts
from experiments.papers.adagrad_anisotropic.ratios import RESOLUTION
from experiments.session import Session
from experiments.sets import content_of, examples_in
from experiments.spec import Experiment, Run, with_lanes
from experiments.study import Found
from experiments.theory.rate_form import gap_bound
from optim.settings import SettingError, is_number, nearest, setting

if TYPE_CHECKING:
    from experiments.study import Figures

QUESTION = "Does AdaGrad on a box, averaged, obey its bound at every batch size and number of steps, and have its form?"
CHOICES = ("l2", "room", "eps", "sampling")  # what is free, each varied on its own
_NOT_OF_STREAMS = ("l2", "sampling")  # which mean nothing there


@dataclass(kw_only=True)
class Settings:
    """What is run. The learning rate is D_inf/sqrt(2), as the bound asks; nothing is tuned."""

    problems: dict[str, Any] = field(metadata={"doc": "words of a task, by name; task.l2=1/n is one over its examples"})
    batch_sizes: list[Any] = field(metadata={"doc": 'whole numbers, or "full" for the exact gradient'})
    steps: list[int] = field(metadata={"doc": "T: each run goes to the last one and is read at the others"})
    room: list[float] = field(metadata={"doc": "side of the box over 2 max_j |w*_j|, 1 or more"})
    l2: list[Any] = field(metadata={"doc": 'l2 term of the data sets; "1/n" for one over the number of examples'})
    eps: list[float] = setting([1e-10], doc="added to the root of the accumulator; the bound has 0")
    sampling: list[str] = setting(["replacement"], doc="how batches are drawn: the bound has replacement")
    arm_problems: list[str] | None = setting(None, doc="those on which more than the first l2, room, ... is run (all)")
    seeds: list[int] = field(metadata={"doc": "seeds; the bound is about their mean"})

    def __post_init__(self) -> None:
        checks.distinct(self, "problems", "batch_sizes", "steps", "seeds", *CHOICES)
        for name, least in (("room", 1.0), ("eps", 0.0), ("steps", 1)):
            for value in getattr(self, name):
                if not is_number(value) or value < least:
                    raise SettingError(f"{name} must hold numbers from {least:g}, not {value!r}")
        checks.strengths(self.l2)
        checks.tasks("problems", self.problems)
        for name in self.arm_problems or []:
            if name not in self.problems:
                raise SettingError(f"arm_problems: there is no problem '{name}': {nearest(name, self.problems)}")


def variants(settings: Settings) -> list[dict[str, Any]]:
    """The main choice of what is free, then each other choice on its own."""
    main = {name: getattr(settings, name)[0] for name in CHOICES}
    return [main, *({**main, name: value} for name in CHOICES for value in getattr(settings, name)[1:])]


def measure(settings: Settings, session: Session) -> Found:
    """Run it. Tables: `cells`, one row for each seed, problem, variant, M and T; `problems`, what the bound is made of.

    A cell has `gap` (f(mean iterate) - f*, at least 1e-12, inf if it diverged) and the bound by where sigma was taken,
    `bound_path` and `bound_box` (NaN where sigma is not known there). T is the recording point nearest to the one asked
    for. Variants without a finite minimiser have no runs, and a row in `problems` that says so.
    """
    import pandas as pd

    planned, facts = [], []
    for labels, words, variant in _cases(settings):
        config_ = {"words": words, "room": float(variant["room"]), "content": _content(tuple(words))}
        (about,) = session.calculate(box_facts.facts, 1, [config_], f"{labels['problem']}: L, w* and sigma")
        facts.append({**labels, **about})
        if about["side"] is None:
            continue
        for batch in settings.batch_sizes:
            if batch != "full" or "examples" in labels:  # a stream has no full batch
                runs = _runs(settings, words, variant, batch, about["side"])
                planned.append(({**labels, "batch": str(batch)}, batch, about, runs))
    asked = [run for *_, runs in planned for run in runs]
    finals = session.complete(asked, "AdaGrad on a box")
    found = curves.read(session.store, [run.id for run in asked], ["average/gap"])
    rows = []
    for labels, batch, about, runs in planned:
        size = math.inf if batch == "full" else int(batch)
        # The largest over the seeds as well: the expectation is over all of their paths.
        known = [sigma for run in runs if (sigma := finals[run.id].get("noise_supremum_l1")) is not None]
        path = max(known, default=math.nan)
        sigmas = {"path": path, "box": math.nan if about["noise_box"] is None else about["noise_box"]}
        of_seed = dict(zip(settings.seeds, runs * len(settings.seeds) if batch == "full" else runs, strict=False))
        for seed, run in of_seed.items():
            curve = found[run.id]
            for at in _points(curve.steps, settings.steps):
                gap, steps = float(curve.values["average/gap"][at]), int(curve.steps[at])
                row = {**labels, "batch_size": size, "steps": steps, "seed": seed, "run": run.id}
                row |= {"gap": max(gap, RESOLUTION) if math.isfinite(gap) else math.inf}
                for where, sigma in sigmas.items():
                    of_batch = 0.0 if batch == "full" else sigma
                    bound = gap_bound(about["smoothness_l1"], of_batch, about["side"], size, steps)
                    row |= {f"noise_{where}": sigma, f"bound_{where}": bound}
                rows.append(row)
    return Found({"cells": pd.DataFrame(rows), "problems": pd.DataFrame(facts)}, frozenset(run.id for run in asked))


@functools.cache
def _content(words: tuple[str, ...]) -> str:
    return content_of([*words, "dtype=float64"])


def _points(recorded: np.ndarray, wanted: Sequence[int]) -> list[int]:
    """Positions of the recording points nearest to the wanted steps, in ratio."""
    after = np.log(np.maximum(recorded, 0.5))
    return sorted({int(np.argmin(np.abs(after - math.log(steps)))) for steps in wanted})


def _cases(settings: Settings) -> list[tuple[dict[str, Any], list[str], dict[str, Any]]]:
    """Labels, words of the task and variant, of every problem whose data are at hand."""
    tasks = {name: words[0].removeprefix("task=") for name, words in settings.problems.items()}
    streams = {name for name, task in tasks.items() if task.startswith("quadratic/")}
    sets = sorted({task for name, task in tasks.items() if name not in streams})
    try:
        sizes = examples_in(sets) if sets else {}
    except MissingData as problem:  # there may be streams
        print(f"skipped: {problem}", file=sys.stderr)
        sizes = {}
    found = []
    main = variants(settings)[0]
    for name, words in settings.problems.items():
        if name not in streams and tasks[name] not in sizes:
            continue
        for number, variant in enumerate(variants(settings)):
            if number and settings.arm_problems is not None and name not in settings.arm_problems:
                continue
            labels = {"problem": name, **variant, "l2": str(variant["l2"])}
            if name in streams:
                if any(variant[choice] != main[choice] for choice in _NOT_OF_STREAMS):
                    continue  # the same runs as in the main variant
                found.append((labels, list(words), variant))
                continue
            n = sizes[tasks[name]]
            l2 = checks.strength(variant["l2"], n)
            found.append(({**labels, "examples": n}, [*words, f"task.l2={l2!r}"], variant))
    return found


def _runs(settings: Settings, words: list[str], variant: dict[str, Any], batch: Any, side: float) -> list[Run]:
    values = {"lr": side / math.sqrt(2), "eps": variant["eps"], "wrapper.box.lower": -side / 2}
    # The exact gradient from w_0 = 0 has nothing random in it: one run stands for every seed.
    seeds = settings.seeds[:1] if batch == "full" else settings.seeds
    experiment = _experiment(tuple(words), variant["sampling"], str(batch), max(settings.steps))
    return with_lanes(experiment, seeds, [values | {"wrapper.box.upper": side / 2}])


@functools.cache
def _experiment(words: tuple[str, ...], sampling: str, batch: str, steps: int) -> Experiment:
    drawn = ["batch_size=full"] if batch == "full" else [f"batch_size.size={batch}", f"sampling={sampling}"]
    method = ["optimizer=adagrad", "wrapper=[box]", "average=uniform", *drawn]
    watched = ["probe=[noise_supremum]", "probe.noise_supremum.every=4", "record=log", "dtype=float64"]
    return config.request([*words, *method, *watched, f"budget.steps={steps}"]).runs[0].experiment


def draw(found: Found, settings: Settings) -> "Figures":
    """The gap against the steps, with the bound and the fitted form, for the main variant."""
    return bound_figures.draw(found.tables, variants(settings)[0], settings, QUESTION)
