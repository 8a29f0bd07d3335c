"""Are smoothness and gradient noise concentrated on few coordinates, and whose bound is smaller because of it?"""

import itertools
import math
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from data import MissingData
from experiments import checks, config, protocol
from experiments.papers.adagrad_anisotropic import anisotropy_figures, anisotropy_tables, gains, set_constants
from experiments.protocol import Cell, Protocol
from experiments.session import Session
from experiments.sets import content_of, examples_in
from experiments.spec import Run
from experiments.study import Found
from optim.settings import SettingError, nearest, setting

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

QUESTION = "Do L and sigma sit on few coordinates, so that AdaGrad's bound is smaller than SGD's?"
REAL, MADE_UP = "real", "made up"
_VERSION = 1  # of the calculations
_CURVE_POINTS = 80


@dataclass(kw_only=True)
class Settings:
    """What is looked at. L, w* and sigma at fixed points are calculated; sigma along paths needs tuned runs."""

    sets: list[str] = field(metadata={"doc": "tasks on real sets, which the claims are about"})
    made_up: dict[str, Any] = setting({}, doc="made-up problems, shown beside: words of a task, by name")
    choices: dict[str, Any] = setting({}, doc="other choices of the real sets, by name: each is an arm")
    l2: list[Any] = field(metadata={"doc": 'strengths of the l2 term; "1/n" for one over the number of examples'})
    arm_sets: list[str] | None = setting(
        None, doc="sets with paths for more than the first l2 (all); some of the sets are an arm too"
    )
    batch_size: int = setting(32, minimum=1, doc="examples per step along the paths")
    passes: int = setting(20, minimum=1, doc="examples seen along a path, in passes over the data")
    methods: dict[str, Any] = field(metadata={"doc": "whose paths: overrides by name"})
    grid: dict[str, Any] = field(metadata={"doc": "first and last learning rate to begin with, by method"})
    factor: float = setting(2.0, above=1.0, doc="ratio of neighbouring learning rates")
    tuning_seeds: list[int] = field(metadata={"doc": "seeds that learning rates are picked on"})
    seeds: list[int] = field(metadata={"doc": "fresh seeds, along whose paths sigma is measured"})
    curves: list[str] = field(metadata={"doc": "sets or problems whose sorted L_j and sigma_j are drawn"})

    def __post_init__(self) -> None:
        gains.check_methods(self.methods, self.grid)
        if not self.sets or len({*self.sets, *self.made_up}) < len(self.sets) + len(self.made_up):
            raise SettingError("sets must name at least one task, and none twice or again in made_up")
        checks.tasks("made_up", self.made_up)
        everything = [*self.sets, *self.made_up]
        for name in [*self.curves, *(self.arm_sets or []), *(name for sets in self.choices.values() for name in sets)]:
            if name not in everything:
                raise SettingError(f"there is no set '{name}' among sets and made_up: {nearest(name, everything)}")
        checks.strengths(self.l2)
        checks.distinct(self, "l2")


@dataclass(frozen=True)
class _Problem:
    """labels: set, kind, l2. words: its task."""

    labels: dict[str, Any]
    words: list[str]
    size: int


def measure(settings: Settings, session: Session) -> Found:
    """Tables, by set, kind and l2: `constants` (see `set_constants.constants`), `noise` (sigma_1 and sigma_2 by where
    they were taken and seed), `comparators` (w* by choice, for problems without a minimiser), `coefficients` (see
    `anisotropy_tables`) and `curves` (sorted L_j and sigma_j); and `choices`, the real sets of each arm.

    The first two have the anisotropy as well: d ||L||_inf/||L||_1, also with lambda_max, and sqrt(d) sigma_2/sigma_1.
    """
    import pandas as pd

    problems = _problems(settings)
    if not problems:
        return Found({"constants": pd.DataFrame(columns=["set", "kind", "l2"])})
    configs = [{"words": p.words, "content": content_of([*p.words, "dtype=float64"])} for p in problems]
    known = session.calculate(set_constants.constants, _VERSION, configs, "L, sigma and w*")
    constants = pd.DataFrame([{**p.labels, **row} for p, row in zip(problems, known, strict=True)])
    borrowed = [row["comparator"] != set_constants.MINIMISER for row in known]
    asked = list(itertools.compress(configs, borrowed))
    points = session.calculate(set_constants.comparators, _VERSION, asked, "w* by choice")
    labels = [p.labels for p in itertools.compress(problems, borrowed) for _ in set_constants.COMPARATORS]
    others = [{**of, **row} for of, row in zip(labels, points, strict=True)]
    drawn = []
    for p, about in zip(problems, configs, strict=True):
        if p.labels["set"] in settings.curves and p.labels["l2"] == str(settings.l2[0]):
            sampled = [{**about, "points": _CURVE_POINTS}]
            found = session.calculate(set_constants.sorted_curves, _VERSION, sampled, "sorted L and sigma")
            drawn += [{**p.labels, **row} for row in found]
    paths, reported = _paths(settings, problems, session)
    noise = pd.concat([anisotropy_tables.fixed_noise(constants), paths], ignore_index=True)
    anisotropy_tables.add_ratios(constants, noise)
    tables = {
        "constants": constants,
        "noise": noise,
        "comparators": pd.DataFrame(others) if others else pd.DataFrame(columns=["set", "l2"]),
        "coefficients": anisotropy_tables.coefficients(constants, noise),
        "choices": anisotropy_tables.choices(settings.sets, settings.choices, _with_every_l2(settings, problems)),
        "curves": pd.DataFrame(drawn) if drawn else pd.DataFrame(columns=["set", "l2"]),
    }
    return Found(tables, reported)


def _problems(settings: Settings) -> list[_Problem]:
    """Every set at hand and made-up problem, with every l2."""
    try:
        real = {name: [f"task={name}"] for name in examples_in(settings.sets)}
    except MissingData as problem:
        print(f"skipped: {problem}", file=sys.stderr)
        real = {}
    found = []
    for name, words in {**real, **settings.made_up}.items():
        size = config.request(words).runs[0].experiment.task.size
        assert size is not None, f"{name} is a stream"
        for l2 in settings.l2:
            strength = checks.strength(l2, size)
            labels = {"set": name, "kind": REAL if name in real else MADE_UP, "l2": str(l2)}
            found.append(_Problem(labels, [*words, f"task.l2={strength!r}"], size))
    return found


def _with_every_l2(settings: Settings, problems: list[_Problem]) -> list[str]:
    """The real sets at hand with paths for every l2, where that are only some of them."""
    real = list(dict.fromkeys(p.labels["set"] for p in problems if p.labels["kind"] == REAL))
    some = [name for name in real if settings.arm_sets is None or name in settings.arm_sets]
    return some if len(some) < len(real) and len(settings.l2) > 1 else []


def _paths(settings: Settings, problems: list[_Problem], session: Session) -> "tuple[pandas.DataFrame, frozenset[str]]":
    """Rows of `noise` along paths: norms of the largest sigma_j by coordinate at the recorded points; and the runs."""
    import pandas as pd

    chosen = [
        p
        for p in problems
        if p.labels["l2"] == str(settings.l2[0]) or settings.arm_sets is None or p.labels["set"] in settings.arm_sets
    ]
    cells = [_cell(settings, p, method) for p in chosen for method in settings.methods]
    seeds = tuple(settings.tuning_seeds), tuple(settings.seeds)
    fresh = protocol.measure(cells, Protocol(*seeds, settings.factor), session.complete).fresh
    picked = fresh.drop_duplicates(["set", "l2", "method"]).set_index(["set", "l2", "method"])
    planned: list[tuple[dict[str, Any], Run]] = []
    for cell in cells:
        rate = picked.loc[tuple(cell.labels[k] for k in ("set", "l2", "method"))]
        measured = [
            *(word for word in cell.words if not word.startswith("average=")),
            f"optimizer.lr={float(rate.lr)!r}",
            "probe=[noise_supremum]",
            "record=log",
            f"lanes.seed={settings.seeds}",
        ]
        labels = {k: cell.labels[k] for k in ("set", "kind", "l2")} | {"where": f"{cell.labels['method']} path"}
        about = {**labels, "lr": float(rate.lr), "edge": bool(rate.edge)}
        planned += [(about, run) for run in config.request(measured).runs]
    finals = session.complete([run for _, run in planned], "sigma along paths")
    rows = []
    for about, run in planned:
        total, length = (finals[run.id].get(f"noise_supremum_{norm}") for norm in ("l1", "l2"))
        largest = {"sigma_1": _number(total), "sigma_2": _number(length)}  # w_0 is one of the points
        rows.append({**about, "seed": run.seed, **largest})
    return pd.DataFrame(rows), frozenset(run.id for _, run in planned)


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _cell(settings: Settings, problem: _Problem, method: str) -> Cell:
    """What is tuned for a path: the runs of `gap_by_batch_size` where the settings agree, which are shared then."""
    words = (
        *problem.words,
        *settings.methods[method],
        f"batch_size.size={settings.batch_size}",
        "sampling=replacement",
        f"budget.examples={settings.passes * problem.size}",
        "average=uniform",
        "dtype=float64",
    )
    labels = {**problem.labels, "method": method}
    return Cell(labels, words, checks.rates(settings.grid[method], settings.factor), {"last": "gap"})


def draw(found: Found, settings: Settings) -> "Figures":
    """Norms set by set, sorted curves, and the ratios of the bounds."""
    if found.tables["constants"].empty:
        return {}
    return anisotropy_figures.draw(found.tables, settings, QUESTION)
