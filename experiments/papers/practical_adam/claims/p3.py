"""P3: the sufficient condition with enough drift left means ending near the right end."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.practical_adam.counterexample_verdicts import DRIFT, END, arms, chosen, finite, untestable
from experiments.statistics import Answer, Interval, all_of, decide_at_most

if TYPE_CHECKING:
    import pandas

STUDY = "plane"
QUIET, MOST = 0.25, 1.0  # of a remark: how far from -1 noise may hold x


def ends_well(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """P3, in one form and at one beta."""
    plane = chosen(measurements, STUDY, "points", arm)
    own = plane[plane.condition & (plane.drift >= DRIFT)]
    if own.empty:
        return untestable(f"no point of the plane has the condition and a drift of {DRIFT:g} left")
    ends = [Interval(row.end, row.low, row.high, int(row.n)) for row in own.itertuples()]
    answers: list[Answer] = [decide_at_most(end, -END) for end in ends]
    sure, possible = answers.count("holds"), len(answers) - answers.count("fails")
    share = Interval(sure / len(ends), sure / len(ends), possible / len(ends), min(end.n for end in ends))
    remarks = (_found(own, plane, ends), _noise(own, answers), _elsewhere(plane.drop(own.index)), _agreement(plane))
    cells = tuple(
        finite({"r": row.r, "s": row.s, "drift": row.drift, "noise": row.noise if row.noise <= MOST else None,
                "end": end.value, "low": end.low, "high": end.high, "seeds": end.n, "answer": answer})
        for row, end, answer in zip(own.itertuples(), ends, answers, strict=True)
    )  # fmt: skip
    return Judgement(all_of(answers), share, remarks, cells)


def _found(own: "pandas.DataFrame", plane: "pandas.DataFrame", ends: Sequence[Interval]) -> str:
    worst = max(ends, key=lambda end: end.value)
    return (
        f"{len(own)} of {len(plane)} points have the condition and a drift of {DRIFT:g} left in "
        f"{int(plane.steps.iloc[0]):,} steps; the end that is farthest off: {worst.value:+.3f} ({worst.low:+.3f} to "
        f"{worst.high:+.3f})"
    )


def _noise(own: "pandas.DataFrame", answers: Sequence[Answer]) -> str:
    """What the drift sum leaves out."""
    known = own[own.noise <= MOST]
    held = f"{known.noise.min():.2g} to {known.noise.max():.2g}" if len(known) else "out of its reach"
    quiet = [answer for row, answer in zip(own.itertuples(), answers, strict=True) if row.noise <= QUIET]
    return (
        f"the drift sum does not count noise, which alone would hold the mean of x {held} above -1 at {len(known)} of "
        f"the {len(own)} points (a diffusion with a wall at -1 alone; ours, beside the claim); at the other "
        f"{len(own) - len(known)} that is more than {MOST:g}: no prediction; of the {len(quiet)} points where that is "
        f"at most {QUIET:g}, {quiet.count('holds')} end below -0.5 for certain"
    )


def _elsewhere(others: "pandas.DataFrame") -> str:
    return (
        f"nothing is claimed elsewhere: with the condition but less drift, {_well(others[others.condition])} end below "
        f"-0.5; without it, {_well(others[~others.condition])} do"
    )


def _agreement(plane: "pandas.DataFrame") -> str:
    disagree = int((plane.condition != plane.exact).sum())
    return f"the checker and the rule 0 < r <= 2s < 2 differ at {disagree} of {len(plane)} points"


def _well(points: "pandas.DataFrame") -> str:
    return f"{int((points.end < -END).sum())} of {len(points)} points"


def forms_and_betas(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """Every form at every beta, the main ones first."""
    return arms(measurements, STUDY, "points", "form", "beta")


CLAIM = Claim(
    id="P3",
    sentence="On the counterexample, the sufficient condition together with enough drift left after the reversal "
    "implies ending near the right end.",
    mark="D",
    studies=(STUDY,),
    statistic="share of the points (r, s) with the condition and a drift sum of at least 3 whose mean of x over the "
    "last tenth of the steps is at most -0.5 for certain (up to the share that is not above it for certain)",
    threshold="all of them; one that is above it for certain fails",
    judge=ends_well,
    arms=forms_and_betas,
)
