"""The forms of the counterexample, as settings, and what the studies calculate on them from plain values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from experiments.seeds import derive
from experiments.theory.counterexamples import Cyclic, Family, Stochastic, drift_sum, reversal_time
from experiments.theory.scalar_adam import Kind, Method, Paths, Problem, Slopes
from optim import settings
from optim.sequences.constant import Constant
from optim.sequences.power import Power
from optim.sequences.towards_one import TowardsOne
from optim.settings import SettingError, setting

GENERIC: Kind = "generic"
LARGEST: Kind = "largest"
ADOPT: Kind = "adopt"
CLIPPED: Kind = "adopt, clipped"
_PLACES = 8


@dataclass(frozen=True, kw_only=True)
class Form:
    """Slope `scale * big` with probability (1 + delta)/(big + 1), else -scale, on [-1, 1]; the mean slope is
    `scale * delta` (page on arXiv 2101.05471, section 3). Cyclic: one big slope in a period, the others after it.
    """

    big: float = setting(101.0, above=1.0, doc="C, the big slope over the small one")
    delta: float = setting(0.02, above=0.0, doc="mean slope over the small one")
    scale: float = setting(1.0, above=0.0, doc="the small slope")
    c: float = setting(0.01, above=0.0, maximum=1.0, doc="1 - theta at r = 0")
    cyclic: bool = setting(False, doc="in a fixed order")
    steps: int = setting(100_000, minimum=1000, doc="T")

    def __post_init__(self) -> None:
        if self.cyclic:
            self.family().period  # noqa: B018  # refuses what is no whole number

    def family(self) -> Family:
        """What the calculations know it as."""
        return Family(self.big, self.delta, self.scale)

    def reversal(self, r: float) -> float:
        """t*(r)."""
        return reversal_time(self.big, self.delta, self.c, r)

    def drift(self, r: float, s: float, lr: float) -> float:
        """What remains after t*(r) up to the last step, with alpha_t = lr/t^s."""
        return drift_sum(self.big, self.delta, self.c, r, lr, s, self.steps)

    def noise(self, r: float, s: float, lr: float) -> float:
        """How far above -1 noise holds the mean of x at the last step, where the drift points there: of steps of size
        alpha_T whose mean is `-alpha_T (delta/sqrt(E g^2)) (1 - (t*/T)^r)`, a diffusion with a wall at -1 is
        exponentially distributed with mean `alpha_T sqrt(E g^2) / (2 delta (1 - (t*/T)^r))` (ours); infinite before t*.
        """
        window = (self.c + (1 - self.c) * r) * self.big / (2 * self.delta)
        kept = 1 - window * self.steps**-r
        family = self.family()
        alpha = lr * self.steps**-s
        ratio = math.sqrt(family.mean_square) / family.mean_slope
        return alpha * ratio / (2 * kept) if kept > 0 else math.inf


def forms(given: Mapping[str, Any], name: str) -> dict[str, Form]:
    """The forms of a setting that maps names to their values; raises SettingError for what is none."""
    if not given:
        raise SettingError(f"{name} must name at least one form of the counterexample")
    found = {}
    for key, values in given.items():
        if not isinstance(values, Mapping):
            raise SettingError(f"{name}: '{key}' must be a mapping with big, delta, scale, c and steps, not {values}")
        found[key] = settings.build(Form, values, f"{name}.{key}")
    return found


def plain(form: Form) -> dict[str, Any]:
    """A form for the configuration of a calculation, without the number of steps."""
    return {name: value for name, value in asdict(form).items() if name != "steps"}


def method(kind: Kind, beta: float, r: float, c: float, s: float, lr: float) -> Method:
    """alpha_t = lr / t^s, the constant beta, and theta_t = 1 - (c + (1 - c) r) / t^r."""
    return Method(kind, Power(s=s), Constant(at=beta), TowardsOne(r=r, c=c), lr=lr)


def sample(form: Form, seeds: int) -> list[int]:
    """The seeds of so many independent paths. The cyclic form has one path, the page's, which begins with the big
    slope: it is deterministic, and other places in the cycle to begin at are no sample.
    """
    return [0] if form.cyclic else list(range(seeds))


def places(form: Form) -> list[int]:
    """Places in the cycle to begin at, the page's first and others spread evenly, to be drawn beside it."""
    count = min(_PLACES, form.family().period)
    return [k * form.family().period // count for k in range(count)]


def slopes(form: Form, seeds: Sequence[int], batch: int = 1) -> Slopes:
    """The slopes of every step, a column for each seed: means over batches of so many draws.

    In the cyclic form a seed is a place in the period to begin at, 0 the big slope.
    """
    if form.cyclic:
        return Cyclic(form.family(), seeds, batch)
    return Stochastic(form.family(), [derive(seed, "slopes", batch) for seed in seeds], batch)


def problem(start: float) -> Problem:
    """On [-1, 1], from here."""
    return Problem(start=start, lower=-1.0, upper=1.0)


def late(paths: Paths, at: Sequence[int]) -> np.ndarray:
    """Mean of x over the last tenth of the steps, (methods, seeds); `at` ends in what `ends` gives."""
    place, last = list(at).index(ends(at[-1])[0]), at[-1]
    before, whole = paths.averages[:, place] * at[place], paths.averages[:, -1] * last
    found: np.ndarray = (whole - before) / (last - at[place])
    return found


def ends(steps: int) -> list[int]:
    """The two steps that the last tenth lies between."""
    return [steps - steps // 10, steps]
