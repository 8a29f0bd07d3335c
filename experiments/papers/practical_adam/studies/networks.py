"""Networks under Generic Adam: the decays that part on the counterexample, on tasks that people train."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import checks
from experiments.papers.practical_adam import networks_figures, networks_plan, networks_tables
from experiments.papers.practical_adam.networks_plan import Point
from experiments.papers.practical_adam.networks_tables import Reported
from experiments.protocol import Protocol
from experiments.session import Session
from experiments.sets import examples_in
from experiments.study import Found
from optim.settings import SettingError, setting

if TYPE_CHECKING:
    import pandas

    from experiments.study import Figures

QUESTION = "Do networks train under every decay theta_t, and best under the one that the theory prefers?"


@dataclass(kw_only=True)
class Settings:
    """What is run. alpha_t = lr/t^s, theta_t = 1 - (c + (1 - c) r)/t^r; on a network all methods see equally much.

    The other v_0 and rates in steps of about 3 came after results with v_0 = 1e-8 and steps of 10 were known: these
    hung on both.
    """

    networks: dict[str, Any] = field(
        metadata={"doc": "by name: words, passes, looks, batch_size, rates, methods, tuned, other_v_0, started"}
    )
    r: list[float] = field(metadata={"doc": "exponents of theta_t"})
    c: float = setting(0.001, above=0.0, maximum=1.0, doc="what r = 0 leaves below one in theta_t")
    beta: float = setting(0.9, minimum=0.0, below=1.0, doc="beta_t, at every step")
    s: float = setting(0.5, minimum=0.0, doc="exponent of alpha_t")
    lr: float = setting(0.001, above=0.0, doc="factor of alpha_t: the paper's learning rate")
    v_0: float = setting(1e-8, minimum=0.0, doc="second moment at the start, the main one")
    others: dict[str, Any] = field(metadata={"doc": "overrides of further methods by name"})
    common: list[str] = field(metadata={"doc": "overrides of every run"})
    tuning_seeds: list[int] = field(metadata={"doc": "seeds that rates are picked on, where several are run"})
    seeds: list[int] = field(metadata={"doc": "fresh seeds that are reported"})

    def __post_init__(self) -> None:
        checks.distinct(self, "seeds", "tuning_seeds", "r")
        Protocol(tuple(self.tuning_seeds), tuple(self.seeds), 2.0)  # refuses seeds that are in both
        self.methods = networks_plan.methods(self.r, self.c, self.beta, self.others)
        self.plans = networks_plan.plans(self.networks, self.methods)
        for name, plan in self.plans.items():
            if self.v_0 in plan.other_v_0:
                raise SettingError(f"networks.{name}: other_v_0 must leave out v_0={self.v_0:g}, which is always run")


def measure(settings: Settings, session: Session) -> Found:
    """Run it. Tables: `runs`, `curves` and, where several rates are run, `tuning` (see `networks_tables`).

    Fresh seeds are run at the paper's rate, from every v_0, and at the rates that tuning picks. Networks whose data are
    not on this machine are left out. Raises SettingError or DataError before any work is done.
    """
    points = _points(settings)
    papers, tuned = [p for p in points if p.rate == 1], _tuned(points, settings)
    for point in tuned:
        point.runs(settings.seeds)  # a rate that may be picked is refused before any work
    runs = [Reported(point, run) for point in papers for run in point.runs(settings.seeds)]
    tables: dict[str, pandas.DataFrame] = {}
    if tuned:
        tried = [run for point in tuned for run in point.runs(settings.tuning_seeds, ends=True)]
        finals = session.complete(tried, "tuning")
        tables["tuning"] = networks_tables.tuning(tuned, settings.tuning_seeds, finals)
        picked = tables["tuning"][tables["tuning"].picked]
        wanted = set(picked[["network", "method", "rate"]].itertuples(index=False, name=None))
        others = [p for p in tuned if p.rate != 1 and (p.network, p.method.name, p.rate) in wanted]
        runs += [Reported(point, run) for point in others for run in point.runs(settings.seeds)]
    session.complete([one.run for one in runs], "networks")
    tables["runs"] = networks_tables.runs(runs, session)
    tables["curves"] = networks_tables.of_curves(runs, session)
    return Found(tables, frozenset(one.run.id for one in runs))


def _tuned(points: list[Point], settings: Settings) -> list[Point]:
    """Those that the rates of their methods are compared with."""
    return [p for p in points if p.v_0 == settings.v_0 and settings.plans[p.network].tunes(p.method.name)]


def _points(settings: Settings) -> list[Point]:
    """All points of the networks whose data are at hand."""
    there = examples_in(sorted({plan.task for plan in settings.plans.values()}))
    alike = [*settings.common, "alpha=power", f"alpha.s={settings.s!r}"]
    found = []
    for name, plan in settings.plans.items():
        if plan.task in there:
            known, size = settings.methods, there[plan.task]
            found += networks_plan.points(name, plan, size, known, settings.lr, settings.v_0, alike)
    return found


def draw(found: Found, settings: Settings) -> "Figures":
    """The curves at the paper's rate and, where there are some, at tuned ones; and what r changes."""
    return networks_figures.draw(found.tables, settings, QUESTION)
