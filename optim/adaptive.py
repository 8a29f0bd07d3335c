"""What batch-size rules share that look at gradients: when they test, and how a demand becomes the size of a batch."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from optim.batch_size import BatchSizeRule, Context, refuse_larger
from optim.settings import SettingError, setting


class Undecided(Exception):
    """The statistics say nothing about the batch size; the message says why."""


@dataclass(frozen=True, kw_only=True)
class AdaptiveRule(BatchSizeRule):
    """Base of rules that ask, every `test_interval` steps, how large the batch should have been.

    A rule defines `demand`, a real number q made of statistics of the last batch at the parameters before its step
    (arXiv 2402.11215: test and step use the same batch, and the raw gradient). The next batch has ceil(q) examples,
    never fewer than the last one (with `allow_decrease`: than the first one), at most `growth_limit` times the last
    one, and at most the cap, where testing stops for good unless the size may decrease. An infinite q, as at a gradient
    of zero, asks for the cap. Statistics that are not finite, and those that say nothing, leave the size as it is.

    With smoothing, what is measured is averaged over tests, m_k = beta m_{k-1} + (1 - beta) x_k, and used as
    m_k / (1 - beta^k): the names in `denominators` with the beta of the denominator, the rest with the numerator's.
    """

    shared: ClassVar[bool] = False
    denominators: ClassVar[tuple[str, ...]] = ("gradient_norm_squared",)
    may_be_infinite: ClassVar[tuple[str, ...]] = ()

    size: int = setting(32, minimum=1, doc="examples in the first batch")
    cap: int | None = setting(None, minimum=1, doc="bound on the size (default: the data set)")
    lower_cap: bool = setting(False, doc="lower a cap above the data set to its size instead of refusing it")
    test_interval: int = setting(1, minimum=1, doc="steps from one test to the next")
    finite_population: bool = setting(
        False, doc="ask for q / (1 + q / N): exact for N examples drawn without replacement"
    )
    growth_limit: float | None = setting(None, above=1.0, doc="largest factor on the size at one test (default: none)")
    allow_decrease: bool = setting(False, doc="let the size fall again, down to the first one")
    estimate: str = setting(
        "exact",
        choices=("exact", "chunked", "between micro-batches"),
        doc="how variances are found: exact (formulas for known layers), chunked (without them), or estimated between "
        "the means of `parts` micro-batches, without gradients of single examples",
    )
    parts: int = setting(8, minimum=2, doc="micro-batches of the estimate between them")
    smooth_numerator: float = setting(0.0, minimum=0.0, below=1.0, doc="beta of the average of the numerator")
    smooth_denominator: float = setting(0.0, minimum=0.0, below=1.0, doc="beta of the average of the denominator")

    def content(self) -> dict[str, str]:
        """How many parts there would be says nothing where there are none."""
        return {} if self.estimate == "between micro-batches" else {"parts": ""}

    # What a rule defines -----------------------------------------------------------------------------------------

    def statistics(self) -> tuple[str, ...]:
        raise NotImplementedError

    def measured(self, context: Context) -> dict[str, float]:
        """What `demand` is made of, before smoothing: by name, as measured on the last batch."""
        return {name: context.statistics[name] for name in self.statistics()}

    def demand(self, found: Mapping[str, float], context: Context) -> float:
        """The batch size q that is asked for, in an infinite population, from what was `measured`, smoothed.

        Raises Undecided where this cannot be said.
        """
        raise NotImplementedError

    def target(self, found: Mapping[str, float], context: Context) -> float:
        """The batch size that is asked for, of the examples there are."""
        return self.of_population(self.demand(found, context), context)

    def remark(self, context: Context) -> str:
        """What else a note tells when the size moves."""
        return ""

    # What rules use ----------------------------------------------------------------------------------------------

    def of_population(self, demand: float, context: Context) -> float:
        """The demand q itself or, in a finite population of N without replacement, q / (1 + q / N)."""
        if not self.finite_population:
            return demand
        assert context.data_size is not None
        return context.data_size if math.isinf(demand) else demand / (1 + demand / context.data_size)

    def noise_share(self, context: Context) -> float:
        """The factor c in E ||ghat||^2 = ||g||^2 + c tr V: 1/b or, in a finite population, 1/b - 1/N."""
        whole = 1 / context.data_size if self.finite_population and context.data_size else 0.0
        return max(0.0, 1 / context.size - whole)

    def bound(self, data_size: int | None) -> int:
        """The cap on a data set of this size."""
        cap = self.cap or data_size or sys.maxsize
        if self.lower_cap and data_size is not None:
            cap = min(cap, data_size)
        return max(self.size, cap)

    # The contract ------------------------------------------------------------------------------------------------

    def init(self) -> dict[str, Any]:
        """size: of the last batch asked for. done: no more tests. tests: taken so far. means: running averages by name.
        undecided: why the last test said nothing, if it did not.
        """
        return {"size": 0, "done": False, "tests": 0, "means": {}, "undecided": None}

    def needs(self, step: int, state: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        if (state and state["done"]) or step % self.test_interval:
            return ()
        return self.statistics()

    def next(self, state: dict[str, Any], context: Context) -> tuple[int, dict[str, Any], str | None]:
        old: int = state["size"]
        if not old:
            return self._moved(state, self.size, context, f"batch size {self.size} at first")
        if not self.needs(context.step - 1, state):
            return old, state, None
        try:
            found = self.measured(context)
            for name, value in found.items():
                if math.isnan(value) or (math.isinf(value) and (value < 0 or name not in self.may_be_infinite)):
                    raise Undecided(f"{name} is not finite")
            state, found = self._smoothed(state, found)
            wanted = self.target(found, context)
            if math.isnan(wanted):
                raise Undecided("what is asked for is not a number")
        except Undecided as reason:
            told = f"batch size stays {old}: {reason} (step {context.step - 1})"
            return old, {**state, "undecided": str(reason)}, None if state["undecided"] == str(reason) else told
        state = {**state, "undecided": None}
        new, limit = self._within(wanted, old, self.bound(context.data_size))
        if new == old:
            return self._moved(state, old, context, None)
        told = f"batch size {old} to {new}{limit}: asked for {wanted:.6g} by step {context.step - 1}"
        return self._moved(state, new, context, told + self.remark(context))

    def refuse(self, data_size: int | None, replacement: bool) -> None:
        if self.size < 2:
            raise SettingError(
                f"batch_size.size={self.size} is too small: the variance of gradients needs at least 2 examples in a "
                "batch"
            )
        if self.cap is not None and self.cap < self.size:
            raise SettingError(
                f"batch_size.cap={self.cap} is below the first batch: use at least batch_size.size={self.size}"
            )
        if data_size is None and self.cap is None:
            raise SettingError("batch_size.cap is not given and the task is a stream: give the largest batch size")
        if self.finite_population and (data_size is None or replacement):
            raise SettingError(
                "batch_size.finite_population=true is for finitely many examples drawn without replacement: use "
                "sampling=reshuffled, or leave it out"
            )
        refuse_larger(self.size, data_size, replacement)
        if self.cap is not None and not self.lower_cap and not replacement and self.cap > (data_size or self.cap):
            raise SettingError(
                f"batch_size.cap={self.cap} is larger than the data set ({data_size} examples): without replacement "
                f"use at most {data_size}, batch_size.lower_cap=true, or sampling=replacement"
            )

    # Parts of it -------------------------------------------------------------------------------------------------

    def _moved(
        self, state: dict[str, Any], size: int, context: Context, note: str | None
    ) -> tuple[int, dict[str, Any], str | None]:
        done = not self.allow_decrease and size >= self.bound(context.data_size)
        return size, {**state, "size": size, "done": done}, note

    def _smoothed(self, state: dict[str, Any], found: Mapping[str, float]) -> tuple[dict[str, Any], dict[str, float]]:
        """The state after one more test, and what it uses."""
        tests, means, used = state["tests"] + 1, {}, dict(found)
        for name, value in found.items():
            beta = self.smooth_denominator if name in self.denominators else self.smooth_numerator
            if beta:
                means[name] = beta * state["means"].get(name, 0.0) + (1 - beta) * value
                used[name] = means[name] / (1 - beta**tests)
        return {**state, "tests": tests, "means": means}, used

    def _within(self, wanted: float, old: int, cap: int) -> tuple[int, str]:
        """The next size, and which bound it is due to."""
        new = cap if wanted >= cap else math.ceil(wanted)
        new, limit = max(new, self.size if self.allow_decrease else old), ""
        if self.growth_limit is not None:
            most = max(old + 1, math.floor(min(old * self.growth_limit, cap)))  # at least one more: 2 times 1.1 is 2
            new, limit = min(new, most), " (growth_limit)" if new > most else ""
        return new, " (the cap)" if new == cap else limit


@dataclass(frozen=True, kw_only=True)
class GradientTest(AdaptiveRule):
    """Base of tests of the noise of the gradient against its norm, with a choice of estimates of the norm.

    ||ghat||^2 is too large by tr V / b on average. The unbiased estimate ||ghat||^2 - tr Vhat / b (of which the average
    is used when smoothing) may be negative at small b; the data say nothing then, and the size stays. In a finite
    population 1/b - 1/N stands for 1/b.
    """

    unbiased: bool = setting(False, doc="take ||ghat||^2 - tr Vhat / b for the squared norm of the true gradient")

    def numerators(self) -> tuple[str, ...]:
        """Names of the statistics whose ratio to the norm is tested."""
        raise NotImplementedError

    def statistics(self) -> tuple[str, ...]:
        names = (*self.numerators(), *(("variance_trace",) if self.unbiased else ()), "gradient_norm_squared")
        return tuple(dict.fromkeys(names))

    def measured(self, context: Context) -> dict[str, float]:
        found = super().measured(context)
        if self.unbiased:
            found["gradient_norm_squared"] = unbiased_norm(context, self.noise_share(context))
        return found

    def quotient(self, found: Mapping[str, float], numerator: str, tolerance: float, power: int = 1) -> float:
        """The demand `numerator / (tolerance^2 ||g||^(2 power))`."""
        norm, value = found["gradient_norm_squared"], found[numerator]
        if self.unbiased:
            require_positive(norm)
        for _ in range(power):  # one by one: the power itself may be beyond floats
            value = ratio(value, norm)
        return value / tolerance / tolerance

    def remark(self, context: Context) -> str:
        return norms(context, self.noise_share(context))


def ratio(numerator: float, denominator: float) -> float:
    """The quotient of a variance and a square, where c/0 is infinite and 0/0 is 0: without noise every test holds."""
    if numerator <= 0:
        return 0.0
    return numerator / denominator if denominator else math.inf


def unbiased_norm(context: Context, share: float) -> float:
    """`||ghat||^2 - share tr Vhat`, an unbiased estimate of ||g||^2 for share = 1/b: that of McCandlish et al. 2018
    (appendix A.1) from batches of 1 and of b.
    """
    return context.statistics["gradient_norm_squared"] - share * context.statistics["variance_trace"]


def require_positive(norm: float) -> None:
    """Raise Undecided unless an unbiased estimate of ||g||^2 can be divided by."""
    if norm <= 0:
        raise Undecided("the unbiased estimate of ||g||^2 is not positive")


def norms(context: Context, share: float) -> str:
    """The end of a note: the squared norm as it was measured and, where tr Vhat is known, its unbiased estimate."""
    text = f"; ||ghat||^2 = {context.statistics['gradient_norm_squared']:.4g}"
    if "variance_trace" in context.statistics:
        text += f", unbiased {unbiased_norm(context, share):.4g}"
    return text
