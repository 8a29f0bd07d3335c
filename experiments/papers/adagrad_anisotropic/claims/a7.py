"""A7: the coefficients of the bounds favour AdaGrad."""

from collections.abc import Mapping
from typing import Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.adagrad_anisotropic.anisotropy_verdicts import (
    NOT_COUNTED,
    STUDY,
    arms_with_comparators,
    dropping,
    ends,
    exact,
    failing,
    held,
    judge_sets,
    sampled,
    span,
)
from experiments.papers.adagrad_anisotropic.names import short
from experiments.papers.adagrad_anisotropic.set_constants import COMPARATORS, MINIMISER
from experiments.statistics import Answer, all_of
from experiments.theory import bounds


def favour_adagrad(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A7: R_b and R_n of the comparator w* are above 1 on at least 0.8 of the real sets; those of a box are shown."""
    return judge_sets(measurements, arm, lambda row: [_point(row), _box(row)], _say, ("R_b", "R_n"))


def _say(real: list[dict[str, Any]]) -> list[str]:
    points = [cell for cell in real if cell["answer"] != NOT_COUNTED]
    of_boxes = [cell[ratio] for cell in real if cell["answer"] == NOT_COUNTED for ratio in ("R_b", "R_n")]
    flat = [cell["D_2"] ** 2 / (cell["d"] * cell["D_inf"] ** 2) for cell in points]
    borrowed = [cell for cell in points if cell["domain"] != MINIMISER]
    of_choice = [
        f"{short(cell['set'])} {', '.join(f'{cell[_with(choice)]:.3g}' for choice in COMPARATORS)}" for cell in borrowed
    ]
    of_point = (
        f"for w*: R_b {span(points, 'R_b')}, above 1 on {held(points, 'R_b > 1')}; R_n {span(points, 'R_n')}, above 1 "
        f"on {held(points, 'R_n > 1')} real sets; both on {held(points, 'answer')}, not on {failing(points, 'answer')}"
    )
    of_eigenvalue = (
        f"with lambda_max, SGD's best constant, in place of L_inf R_b is {span(points, 'R_b, lambda_max')}: drops "
        f"below 1 on {dropping(points, 'R_b > 1')}; both above 1 on {held(points, 'answer, lambda_max')}"
    )
    of_box = (
        "on a box both ratios are at least 1 by construction (R_b with a valid L and its largest entry): "
        f"{min(of_boxes):.3g} to {max(of_boxes):.3g} on the real sets"
    )
    density = (
        "||w*||_2^2 / (d ||w*||_inf^2), which is 1 where all weights are equally large: "
        f"{min(flat):.3g} to {max(flat):.3g} on the real sets"
    )
    of_comparator = (
        f"{len(borrowed)} of {len(points)} real sets have no finite minimiser themselves, and w* is that with some l2; "
        f"R_b there with {', '.join(COMPARATORS)}: {'; '.join(of_choice) or 'none'}"
    )
    return [of_point, of_eigenvalue, of_box, density, of_comparator]


def _with(choice: str) -> str:
    return f"R_b, {choice}"


def _point(row: Mapping[str, Any]) -> dict[str, Any]:
    """The coefficients for w*, and whether they favour AdaGrad."""
    noise, of_noise = row["noise_ratio"], sampled(row, "noise_ratio", 1.0)
    ratios = {"R_b": row["bias_ratio"], "R_b, lambda_max": row["bias_ratio, lambda_max"]}
    ratios |= {_with(choice): row["bias_ratios"].get(choice, row["bias_ratio"]) for choice in COMPARATORS}
    ratios |= {"R_n": noise.value, **ends(noise)}
    answers: dict[str, Answer] = {"R_n > 1": of_noise}
    for constant in ("", ", lambda_max"):
        of_bias = exact(row[f"bias_ratio{constant}"], 1.0)
        answers |= {f"R_b > 1{constant}": of_bias, f"answer{constant}": all_of([of_bias, of_noise])}
    return _cell(row, row["comparator"], row["domain"]) | ratios | answers


def _box(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same for the box of side 2 max_j |w*_j|, which is not counted."""
    noise = row["noise_anisotropy"]
    domain = bounds.box(row["constants"]["d"], 2 * row["domain"].largest)
    ratios = {"R_b": row["smoothness_anisotropy"], "R_b, lambda_max": row["smoothness_anisotropy, lambda_max"]}
    ratios |= {_with(choice): row["smoothness_anisotropy"] for choice in COMPARATORS}
    ratios |= {"R_n": noise.value, **ends(noise)}
    names = ("R_n > 1", "R_b > 1", "answer", "R_b > 1, lambda_max", "answer, lambda_max")
    return _cell(row, "box", domain) | ratios | dict.fromkeys(names, NOT_COUNTED)


def _cell(row: Mapping[str, Any], name: str, domain: bounds.Domain) -> dict[str, Any]:
    found = bounds.coefficients(row["L_1"], row["L"], row["sigma_1"], row["sigma_2"], domain)
    return {
        "set": row["set"],
        "kind": row["kind"],
        "d": row["constants"]["d"],
        "domain": name,
        "D_inf": domain.largest,
        "D_2": domain.length,
        "L_1 D_inf^2": found.adagrad_bias,
        "L D_2^2": found.sgd_bias,
        "sigma_1 D_inf": found.adagrad_noise,
        "sigma_2 D_2": found.sgd_noise,
    }


CLAIM = Claim(
    id="A7",
    sentence="The coefficients of the bounds favour AdaGrad, for a real comparator w* and w_0 = 0.",
    mark="S",
    studies=(STUDY,),
    statistic=(
        "share of real sets with R_b > 1 and R_n > 1 (SGD's coefficient over AdaGrad's, bias and noise; SGD's constant "
        "is the largest entry of the certified L of least L_1; its best one, lambda_max, is an arm)"
    ),
    threshold="at least 0.8 of the sets",
    judge=favour_adagrad,
    arms=arms_with_comparators,
)
