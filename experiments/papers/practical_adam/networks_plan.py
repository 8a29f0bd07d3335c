"""What the study `networks` runs: points of Generic Adam on each network, at multiples of the paper's learning rate and
from several v_0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments import config
from experiments.spec import Run
from optim import settings
from optim.settings import SettingError, is_number, nearest, setting


@dataclass(kw_only=True)
class NetworkPlan:
    """One network on one set of images."""

    words: list[str] = field(metadata={"doc": "overrides that begin with task="})
    passes: int = setting(1, minimum=1, doc="examples seen, in passes over the data: the same for every method")
    looks: int = setting(1, minimum=1, doc="evaluations after the one at the start, evenly spaced")
    batch_size: int = setting(64, minimum=1, doc="examples per step")
    rates: list[float] = field(metadata={"doc": "multiples of the paper's learning rate, 1 first"})
    methods: list[str] = setting([], doc="names of the methods that are run (all)")
    tuned: list[str] = setting([], doc="names of those that are tuned over the rates (all)")
    other_v_0: list[float] = setting([], doc="second moments at the start beside the main one, at the paper's rate")
    started: list[str] = setting([], doc="names of those that are run from the other v_0 (all)")

    def __post_init__(self) -> None:
        if not self.words or not self.words[0].startswith("task="):
            raise SettingError(f"words must be overrides that begin with task=, not {self.words}")
        fine = all(is_number(rate) and rate > 0 for rate in self.rates) and len(set(self.rates)) == len(self.rates)
        if not fine or self.rates[:1] != [1]:
            raise SettingError(f"rates must be different positive numbers that begin with 1, not {self.rates}")
        if not all(is_number(v_0) and v_0 >= 0 for v_0 in self.other_v_0) or not _differ(self.other_v_0):
            raise SettingError(f"other_v_0 must be different numbers from 0, not {self.other_v_0}")

    @property
    def task(self) -> str:
        """The name of the task."""
        return self.words[0].removeprefix("task=")

    def runs(self, method: str) -> bool:
        """Whether it is run at all."""
        return not self.methods or method in self.methods

    def tunes(self, method: str) -> bool:
        """Whether it is run at several rates."""
        return self.runs(method) and len(self.rates) > 1 and (not self.tuned or method in self.tuned)

    def starts(self, method: str) -> bool:
        """Whether it is run from the other v_0."""
        return self.runs(method) and (not self.started or method in self.started)


@dataclass(frozen=True)
class Method:
    """A point of Generic Adam. words: its overrides. r: its exponent; None for a method outside that family."""

    name: str
    words: tuple[str, ...]
    r: float | None = None


@dataclass(frozen=True)
class Point:
    """A method on a network of `examples` at a multiple of the paper's learning rate, from one v_0.

    words: all overrides but the seed and when to evaluate; every: examples between evaluations.
    """

    network: str
    method: Method
    rate: float
    v_0: float
    words: tuple[str, ...]
    examples: int
    every: int

    @property
    def labels(self) -> dict[str, Any]:
        """What names it in every table."""
        return {"network": self.network, "method": self.method.name, "rate": self.rate, "v_0": self.v_0}

    def runs(self, seeds: Sequence[int], ends: bool = False) -> list[Run]:
        """A run for each seed, evaluated as planned or at the `ends` only. Raises SettingError or DataError."""
        record = "ends" if ends else f"every:{self.every}"
        return config.request([*self.words, f"record={record}", f"lanes.seed={list(seeds)}"]).runs


def of_r(r: float) -> str:
    """What a method of the family is called."""
    return f"r = {r:g}"


def methods(exponents: Sequence[Any], c: float, beta: float, others: dict[str, Any]) -> list[Method]:
    """The family theta_t = 1 - (c + (1 - c) r)/t^r with a constant beta_t, then the others. Raises SettingError."""
    if not all(is_number(r) and 0 <= r <= 1 for r in exponents) or len(set(exponents)) < len(exponents):
        raise SettingError(f"r must be different numbers from 0 to 1, not {exponents}")
    shared = ("beta=constant", f"beta.at={beta!r}", "theta=towards_one", f"theta.c={c!r}")
    made = [Method(of_r(r), (*shared, f"theta.r={float(r)!r}"), float(r)) for r in exponents]
    for name, words in others.items():
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            raise SettingError(f"others: '{name}' must be a list of overrides, such as [theta=constant], not {words}")
        made.append(Method(name, tuple(words)))
    names = [method.name for method in made]
    if not _differ(names):
        raise SettingError(f"two methods have one name, of {names}: choose r that differ as printed, and other names")
    return made


def plans(networks: dict[str, Any], known: Sequence[Method]) -> dict[str, NetworkPlan]:
    """The checked plans by name of the network. Raises SettingError."""
    if not networks:
        raise SettingError("networks must name at least one network")
    found, names = {}, [method.name for method in known]
    for name, values in networks.items():
        if not isinstance(values, dict):
            raise SettingError(f"networks.{name} must hold settings, not {values!r}")
        found[name] = settings.build(NetworkPlan, values, f"networks.{name}")
        plan = found[name]
        for method in (*plan.methods, *plan.tuned, *plan.started):
            if method not in names:
                raise SettingError(f"networks.{name}: there is no method '{method}': {nearest(method, names)}")
        for which, chosen in (("tuned", plan.tuned), ("started", plan.started)):
            for method in chosen:
                if not plan.runs(method):
                    raise SettingError(f"networks.{name}.{which}: '{method}' is not run: name it in methods, too")
    return found


def points(
    name: str,
    plan: NetworkPlan,
    examples: int,
    known: Sequence[Method],
    lr: float,
    v_0: float,
    common: Sequence[str],
) -> list[Point]:
    """Every method at the paper's rate from the main v_0, then the other v_0, then the other rates, on one network.

    lr: the paper's. v_0: the main one. common: overrides of every run.
    """
    budget = plan.passes * examples
    shared = (*plan.words, *common, f"batch_size.size={plan.batch_size}", f"budget.examples={budget}")

    def at(method: Method, rate: float, start: float) -> Point:
        words = (f"optimizer.v_0={start!r}", *method.words, f"optimizer.lr={lr * rate!r}")
        every = -(-budget // plan.looks)
        return Point(name, method, rate, start, (*shared, "optimizer=generic_adam", *words), examples, every)

    return [
        *(at(method, 1, v_0) for method in known if plan.runs(method.name)),
        *(at(method, 1, start) for start in plan.other_v_0 for method in known if plan.starts(method.name)),
        *(at(method, rate, v_0) for rate in plan.rates[1:] for method in known if plan.tunes(method.name)),
    ]


def _differ(values: Sequence[Any]) -> bool:
    """None of them is there twice, as printed."""
    shown = [value if isinstance(value, str) else f"{value:g}" for value in values]
    return len(set(shown)) == len(shown)
