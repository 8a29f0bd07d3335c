"""Training under adaptive batch sizes, beside constant sizes, ramps, and the same sizes without the feedback."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import checks, config
from experiments.papers.adadagrad import plans, points, reading, schemes, training_figures, training_tables
from experiments.papers.adadagrad.points import Reported
from experiments.protocol import Protocol
from experiments.session import Session
from experiments.sets import examples_in
from experiments.study import Found
from optim.settings import SettingError, nearest, setting

if TYPE_CHECKING:
    from experiments.study import Figures

QUESTION = "What do batch sizes that follow a test of the gradient's noise cost and give, beside other schemes?"


@dataclass(kw_only=True)
class Settings:
    """What is run. Every scheme of a task sees equally many examples."""

    tasks: dict[str, Any] = field(metadata={"doc": "by name: words, passes, first_size, cap, optimizers"})
    optimizers: dict[str, Any] = field(metadata={"doc": "overrides by name"})
    tests: dict[str, Any] = field(metadata={"doc": "overrides by scheme, of rules with a test; size and cap are added"})
    ramps: dict[str, Any] = field(metadata={"doc": "overrides by scheme, of ramps that are known beforehand"})
    main: str = setting("norm test 0.1", doc="the test that the derived schemes are made from")
    common: list[str] = field(metadata={"doc": "overrides of every run"})
    factor: float = setting(2.0, above=1.0, doc="ratio of neighbouring rates, of five around the fixed one")
    tuning_seeds: list[int] = field(metadata={"doc": "seeds that learning rates are picked on"})
    seeds: list[int] = field(metadata={"doc": "fresh seeds that are reported"})

    def __post_init__(self) -> None:
        for name in ("optimizers", "tests", "ramps"):
            for key, words in getattr(self, name).items():
                if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                    raise SettingError(f"{name}: '{key}' must be a list of overrides, not {words}")
        checks.distinct(self, "seeds", "tuning_seeds")
        Protocol(tuple(self.tuning_seeds), tuple(self.seeds), self.factor)  # refuses seeds that are in both
        if self.main not in self.tests:
            raise SettingError(f"main: there is no test '{self.main}': {nearest(self.main, self.tests)}")
        taken = {*self.tests, *self.ramps} & {*plans.DERIVED, plans.CAP} | set(self.tests) & set(self.ramps)
        if taken:
            raise SettingError(f"tests and ramps: '{min(taken)}' is the name of another scheme: choose another")
        self.plans = plans.of_tasks(self.tasks, self.optimizers, {*self.tests, *self.ramps}, self.main)

    def choices(self) -> schemes.Choices:
        """What the points of all tasks share."""
        return schemes.Choices(self.optimizers, self.tests, self.ramps, self.common, tuple(self.seeds))


def measure(settings: Settings, session: Session) -> Found:
    """Run it. Tables: `runs`, `summary`, `sizes`, `curves` (see `training_tables`) and, where rates are searched,
    `tuning`.

    Tasks whose data are not on this machine are left out. Raises SettingError or DataError before any work is done.
    """
    import pandas as pd

    at_hand, choices = _examples(settings), settings.choices()
    first = [point for name, n in at_hand.items() for point in schemes.direct(name, settings.plans[name], n, choices)]
    tried = settings.factor, settings.tuning_seeds
    reported, tuned = points.complete(first, *tried, session, "tests, constant sizes and ramps")
    second = _derived(settings, reported, session)
    more, tuned_too = points.complete(second, *tried, session, "derived schemes")
    measured = reading.read(session, [*reported, *more])
    runs = training_tables.runs(measured, settings.main)
    tables = {
        "summary": training_tables.summary(runs),
        "runs": runs,
        "sizes": training_tables.sizes(measured),
        "curves": training_tables.curves(measured, settings.main, _main_optimizers(settings)),
    }
    tuning = [table for table in (tuned, tuned_too) if table is not None]
    if tuning:
        tables["tuning"] = pd.concat(tuning, ignore_index=True)
    return Found(tables, frozenset(runs.run))


def _examples(settings: Settings) -> dict[str, int]:
    """Number of examples of the tasks whose data are at hand."""
    named = {name: plan.words[0].removeprefix("task=") for name, plan in settings.plans.items()}
    there = examples_in(sorted(set(named.values())))
    found = {}
    for name, plan in settings.plans.items():
        if named[name] in there:
            size = config.request([*plan.words, *settings.common]).runs[0].experiment.task.size
            assert size is not None, f"{name} is a stream"
            found[name] = size
    return found


def _derived(settings: Settings, reported: list[Reported], session: Session) -> list[points.Point]:
    """What is made from the runs of the main scheme, in each task, optimizer and rate arm."""
    arms: dict[tuple[str, str, str], list[Reported]] = {}
    for one in reported:
        if one.point.scheme == settings.main:
            arms.setdefault((one.point.task, one.point.optimizer, one.point.rate), []).append(one)
    made = []
    for (task, optimizer, rate), runs in arms.items():
        plan = settings.plans[task]
        own = plan.plans[optimizer]
        listed = own.schemes if rate == points.RELEASED else own.tuned
        made += schemes.derived(reading.read(session, runs), listed, plan)
    return made


def _main_optimizers(settings: Settings) -> dict[str, str]:
    return {name: next(iter(plan.plans)) for name, plan in settings.plans.items()}


def draw(found: Found, settings: Settings) -> "Figures":
    """The curves of the first task, batch sizes along training, accuracy against steps, and the optimizers."""
    return training_figures.draw(found.tables, settings, _main_optimizers(settings), QUESTION)
