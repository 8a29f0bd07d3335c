"""Captions of the figures of the study `counterexample`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.papers.practical_adam.counterexample_forms import GENERIC, Form, places
from experiments.papers.practical_adam.counterexample_verdicts import steps

if TYPE_CHECKING:
    import pandas


def path_caption(tables: Mapping[str, "pandas.DataFrame"], form: str, settings: Any, question: str) -> str:
    """Of the iterate and its regret in one form."""
    made, ends = settings.parsed[form], tables["ends"]
    own = ends[(ends.form == form) & (ends.beta == settings.beta[0])]
    late = ", ".join(f"{name} {part.late.mean():+.2f}" for name, part in own.groupby("method", sort=False))
    turns = tables["turns"]
    of_form = turns[(turns.form == form) & (turns.kind == GENERIC) & (turns.beta == settings.beta[0]) & (turns.r > 0)]
    turned = "; ".join(
        f"r = {row.r:g}: t* {row.predicted:.3g}, measured {steps(row.turn)}, remaining drift {row.drift:.2f}"
        for row in of_form.itertuples()
    )
    others = f"AMSGrad and ADOPT at theta = {1 - made.c:g} (ADOPT's is ours)"
    if 0 in settings.beta and 1 in settings.r:
        others += ", RMSProp with theta_t = 1 - 1/t and beta = 0"
    return (
        f"{question} {_described(made)} x_1 = {settings.start:g}, alpha_t = {settings.lr:g}/t^{settings.s:g}, beta = "
        f"{settings.beta[0]:g}; above theta_t = 1 - ({made.c:g} + {1 - made.c:g} r)/t^r, below other methods: "
        f"{others}. {_lines(made, settings)} Dashed verticals: the predicted reversal "
        "t*(r), to leading order and for independent draws; x turns later, as it has to come back from +1. Dotted: "
        f"the regret of standing at +1. Mean of x over the last tenth: {late}. Turns: {turned}. {_regret(made)}"
    )


def turns_caption(settings: Any) -> str:
    """Of measured turns against predicted reversals."""
    cyclic = ", ".join(name for name, form in settings.parsed.items() if form.cyclic)
    one_path = f" {cyclic}: one deterministic path, no interval; the prediction is not for it." if cyclic else ""
    return (
        "Does Adam turn when it is predicted to? The last step after which the mean of x over "
        f"{settings.seeds} seeds is above 0, with a 95% interval by resampling the seeds, against the predicted "
        "reversal t*(r) (dashed: equal); short dashes: the last step of each seed alone that is above 0. Triangles on "
        "the dotted line: still above 0 at the last step. Reversals beyond ten times the last step are left out. The "
        f"reversal is that of the drift, to leading order: x has to come back from +1 and crosses 0 later.{one_path}"
    )


def regret_of(form: Form) -> str:
    """Which regret is shown."""
    return "realised" if form.cyclic else "expected"


def _described(form: Form) -> str:
    big, small = f"{form.scale * form.big:g} x", f"-{form.scale:g} x"
    family = form.family()
    if form.cyclic:
        return f"Losses {big} once in {family.period} steps and first, else {small}, on [-1, 1]."
    return f"Losses {big} with probability {family.probability:.3g}, else {small}, on [-1, 1]."


def _lines(form: Form, settings: Any) -> str:
    if form.cyclic:
        return (
            "Thick, and all numbers: this one path, which is deterministic; thin: begun at "
            f"{len(places(form)) - 1} other places in the cycle (ours), which are no sample."
        )
    return f"Thick: mean over {settings.seeds} seeds; thin: each of them."


def _regret(form: Form) -> str:
    if form.cyclic:
        return (
            "The regret is the realised one, the sum of c_t (x_t + 1) over t, with the slopes c_t; it begins above the "
            "picture, with the big slope; gaps: not above 0."
        )
    return (
        "Only where the remaining drift is at least 3 is the right end predicted. The regret is the expected one, mean "
        "slope times (mean of x + 1)."
    )
