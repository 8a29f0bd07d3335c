"""P1: Adam with a constant second-moment decay ends at the wrong end of the counterexample."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.practical_adam.counterexample_forms import GENERIC
from experiments.papers.practical_adam.counterexample_verdicts import (
    END,
    STUDY,
    arms,
    chosen,
    finite,
    shown,
    untestable,
)
from experiments.statistics import Interval, all_of, decide, mean_interval, paired_ratio

if TYPE_CHECKING:
    import pandas

HALF = 0.5  # of the expected average regret of standing at +1
KEPT = 0.9  # of the average regret at a tenth of the steps: one that vanishes like a power falls more


def diverges(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """P1: r = 0, in one form and at one beta. A cyclic form is one path, by its realised regret: it decides nothing."""
    table = chosen(measurements, STUDY, "ends", arm)
    own = table[(table.kind == GENERIC) & (table.r == 0)]
    if own.empty:
        return untestable("r = 0 was not run")
    end = mean_interval(own.late)
    regret = mean_interval(own.regret / own.worst)
    kept = _kept(own)
    which = "realised" if end.n == 1 else "expected"
    answers = [decide(end, END), decide(regret, HALF), decide(kept, KEPT)]
    said = (
        f"{which} average regret over that of standing at +1 ({own.worst.iloc[0]:.3g}): {shown(regret)}; over itself "
        f"at a tenth of the steps: {shown(kept)}; {int(own.steps.iloc[0]):,} steps"
    )
    labels = {"method": "r = 0", "seeds": end.n}
    cells = [
        finite({**labels, "of": name, "value": of.value, "low": of.low, "high": of.high, "answer": answer})
        for name, of, answer in zip(("x", "regret", "regret kept"), (end, regret, kept), answers, strict=True)
    ]
    return Judgement(all_of(answers), end, (said, _beside(measurements, arm)), tuple(cells))


def _kept(own: "pandas.DataFrame") -> Interval:
    """The average regret over what it was at a tenth of the steps; unknown where a realised one is not positive."""
    if (own[["regret", "earlier"]] <= 0).any(axis=None):
        return Interval(math.nan, -math.inf, math.inf, len(own))
    return paired_ratio(own.regret, own.earlier)


def _beside(measurements: Measurements, arm: Mapping[str, Any]) -> str:
    """Where the other methods of the arm end."""
    table = chosen(measurements, STUDY, "ends", arm)
    others = table[(table.kind != GENERIC) | (table.r != 0)]
    ends = [f"{name} {shown(mean_interval(own.late), '+.3f')}" for name, own in others.groupby("method", sort=False)]
    return "ends of the others, beside the claim: " + ("; ".join(ends) or "none")


def forms_and_betas(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Every form at every beta, the main ones first."""
    return arms(measurements, STUDY, "ends", "form", "beta")


CLAIM = Claim(
    id="P1",
    sentence="On the counterexample, Adam with a constant theta (r = 0) ends at the wrong end, and its average regret "
    "does not vanish.",
    mark="R",
    studies=(STUDY,),
    statistic="mean of x over the last tenth of the steps, over seeds",
    threshold="at least 0.5, and the expected average regret at least half of that of standing at +1 and at least 0.9 "
    "of what it was at a tenth of the steps [O]",
    judge=diverges,
    arms=forms_and_betas,
)
