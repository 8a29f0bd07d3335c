"""The conditions of Defossez, Bottou, Bach and Usunier (2022) on the schedules, as we recall them.

Theorems 1 to 4 [R]: constant beta below theta, and one of two forms. Adam with constant theta and alpha, corrected for
the bias of v, has a bound with terms of order sqrt(1 - theta) and alpha that do not fall with T. AdaGrad with a step
that is constant, here theta_t = 1 - 1/t and alpha_t like 1/sqrt(t), has one of order log T / sqrt(T).

Counting Adam without that correction, or with that of m too, as Adam is ours [D]: both tend to 1.
"""

from dataclasses import dataclass, field

import numpy as np

from experiments.theory.schedule_numbers import Array
from experiments.theory.schedule_report import Conditions, Item, failing, finite
from experiments.theory.schedule_sums import Piece, Sums

_ALIKE = 1e-6  # relative: numbers of one form, as lists in single precision keep them
_ROUND = 6e-8  # absolute: the same of 1 minus such a number
_ADAGRAD, _CONSTANT, _CORRECTED = "AdaGrad", "constant", "corrected"


@dataclass(frozen=True)
class Form:
    """Schedules up to the scale of alpha. theta: "AdaGrad", "constant" or "corrected"; rest: 1 - theta in the limit.

    of_v, of_m: whether alpha_t holds the correction of this bias. beta_rest: 1 - beta.
    """

    theta: str
    rest: float
    beta_rest: float
    of_v: bool
    of_m: bool

    def theta_rest(self, t: Array) -> Array:
        """1 - theta_t."""
        if self.theta == _ADAGRAD:
            return 1 / t
        return self.rest / _fresh(self.rest, t) if self.theta == _CORRECTED else np.full(t.shape, self.rest)

    def alpha(self, t: Array) -> Array:
        """alpha_t, up to its scale."""
        shape = 1 / np.sqrt(t) if self.theta == _ADAGRAD else np.ones(t.shape)
        shape = shape * np.sqrt(_fresh(self.rest, t)) if self.of_v else shape
        return shape / _fresh(self.beta_rest, t) if self.of_m else shape


def _fresh(rest: float, t: Array) -> Array:
    """1 - b^t, from 1 - b."""
    return np.asarray(-np.expm1(t * np.log1p(-rest))) if rest < 1 else np.ones(t.shape)


@dataclass
class Shapes:
    """The forms that the schedules still have, each with its scale of alpha, and where beta_t is no constant."""

    beta_rest: float = 0.0
    beta_varies: int = 0  # the first such step, or 0
    scales: dict[Form, float] = field(default_factory=dict)

    def take(self, p: Piece) -> None:
        """Add a piece that follows the last one."""
        if not p.after:
            self.beta_rest = float(p.beta_rest[0])
            with np.errstate(over="ignore"):
                self.scales = {form: float(p.alpha[0] / form.alpha(np.ones(1))[0]) for form in _candidates(p)}
        varies = abs(p.beta_rest - self.beta_rest) > _ALIKE * self.beta_rest
        if not self.beta_varies and varies.any():
            self.beta_varies = p.after + 1 + int(np.argmax(varies))
        self.scales = {form: scale for form, scale in self.scales.items() if _fits(p, form, scale)}


def _candidates(p: Piece) -> list[Form]:
    """What the first two steps leave. A corrected decay begins with theta_1 = 0 and 1 - theta_2 = 1/(1 + b)."""
    beta_rest, b = float(p.beta_rest[0]), 1 / float(p.theta_rest[1]) - 1
    adagrad = [Form(_ADAGRAD, 0.0, beta_rest, False, of_m) for of_m in (False, True)]
    corrected = [Form(_CORRECTED, 1 - b, beta_rest, False, of_m) for of_m in (False, True) if b < 1]
    rest = float(p.theta_rest[0])
    constant = [Form(_CONSTANT, rest, beta_rest, of_v, of_m) for of_v in (False, True) for of_m in (False, True)]
    return adagrad + corrected + constant


def _fits(p: Piece, form: Form, scale: float) -> bool:
    theta_rest, alpha = form.theta_rest(p.t), scale * form.alpha(p.t)
    near = (abs(p.theta_rest - theta_rest) <= _ALIKE * theta_rest + _ROUND).all() and (
        abs(p.alpha - alpha) <= _ALIKE * p.alpha
    ).all()
    return bool(near)


def defossez(shapes: Shapes, sums: Sums) -> Conditions:
    """The verdicts."""
    form = next(iter(shapes.scales), None)
    rest, varies = sums.theta_rest if form is None else form.rest, shapes.beta_varies
    beta = 1 - shapes.beta_rest
    constant = f"beta = {beta:.6g}, and theta_t {'is' if form is None else 'tends to'} {1 - rest:.9g}"
    below = Item(
        "a beta constant, beta < theta",
        not varies and shapes.beta_rest > rest,
        f"beta_t changes at step {varies}" if varies else constant,
        {"beta": beta, "1 - theta": rest},
        first_violation=varies or None,
    )
    names = {None: "neither of the two", _ADAGRAD: "AdaGrad's"}
    kind = names.get(form.theta if form else None, "Adam's")
    known = Item("b the form of Adam or of AdaGrad", form is not None, f"the form is {kind}", {})
    items = (below, known, _vanishing(form, sums))
    holds = "Defossez et al.'s bound applies and tends to 0"
    fails = f"Defossez et al.'s bound does not give convergence ({failing(items)})"
    sentence = holds if all(item.passed for item in items) else fails
    return Conditions("Defossez et al.", "Defossez, Bottou, Bach, Usunier 2022 [R], forms [D]", items, sentence)


def _vanishing(form: Form | None, sums: Sums) -> Item:
    numbers: dict[str, float | None] = {}
    sentence = "it falls like log T / sqrt(T)"
    if form is None:
        sentence = "there is none for this form"
    elif form.theta != _ADAGRAD:
        numbers = {
            "alpha": sums.alpha,
            "sqrt(1 - theta)": form.rest**0.5,
            "1/(T alpha)": finite(1 / (sums.ends[-1] * sums.alpha)),
        }
        sentence = "it has a plateau of order alpha + sqrt(1 - theta): both must fall as the horizon grows"
    return Item("c the bound tends to 0", form is not None and form.theta == _ADAGRAD, sentence, numbers)
