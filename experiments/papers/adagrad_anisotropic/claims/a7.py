"""A7: the coefficients of the bounds favour AdaGrad."""

from collections.abc import Mapping
from typing import Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.adagrad_anisotropic.anisotropy_tables import (
    NOTHING,
    SHARE,
    STUDY,
    arms,
    by_set,
    ends,
    exact,
    sampled,
    span,
)
from experiments.statistics import Answer, all_of, decide_share
from experiments.theory import bounds


def favour_adagrad(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A7: R_b and R_n of the comparator w* are above 1 on at least 0.8 of the real sets; those of a box are shown."""
    found = by_set(measurements, arm)
    points, boxes = [_point(row) for row in found], [_box(row) for row in found]
    real = [cell for cell in points if cell["kind"] == "real"]
    if not real:
        return NOTHING
    answers: list[Answer] = [cell["answer"] for cell in real]
    answer, share = decide_share(answers, SHARE)
    of_boxes = [cell[ratio] for cell in boxes if cell["kind"] == "real" for ratio in ("R_b", "R_n")]
    borrowed = sum(cell["domain"] != "minimiser" for cell in real)
    flat = [
        row["constants"]["D_2"] ** 2 / (row["constants"]["d"] * row["constants"]["D_inf"] ** 2)
        for row in found
        if row["kind"] == "real"
    ]
    of_point = (
        f"for w*: R_b {span(real, 'R_b')}, above 1 on {_count(real, 'R_b > 1')}; R_n {span(real, 'R_n')}, above 1 on "
        f"{_count(real, 'R_n > 1')} real sets; both on {answers.count('holds')}"
    )
    of_box = (
        "on a box both ratios are at least 1 by construction (R_b with a valid L and its largest entry): "
        f"{min(of_boxes):.3g} to {max(of_boxes):.3g} on the real sets"
    )
    density = (
        "||w*||_2^2 / (d ||w*||_inf^2), which is 1 where all weights are equally large: "
        f"{min(flat):.3g} to {max(flat):.3g} on the real sets"
    )
    point = (
        f"w* is that with l2 = 1/n on {borrowed} of {len(real)} real sets, which have no finite minimiser themselves"
    )
    remarks = [of_point, of_box, density, point]
    made_up = [cell for cell in points if cell["kind"] != "real"]
    if made_up:
        won = sum(cell["answer"] == "holds" for cell in made_up)
        remarks.append(
            f"not counted, {len(made_up)} made-up problems: R_b {span(made_up, 'R_b')}, R_n {span(made_up, 'R_n')}; "
            f"both above 1 on {won}"
        )
    cells = tuple(cell for both in zip(points, boxes, strict=True) for cell in both)
    return Judgement(answer, share, tuple(remarks), cells)


def _point(row: Mapping[str, Any]) -> dict[str, Any]:
    """The coefficients for w*, and whether they favour AdaGrad."""
    about, noise = row["constants"], row["noise_ratio"]
    domain = bounds.Domain(about["D_inf"], about["D_2"])
    answers: list[Answer] = [exact(row["bias_ratio"], 1.0), sampled(row, "noise_ratio", 1.0)]
    ratios = {"R_b": row["bias_ratio"], "R_n": noise.value, **ends(noise)}
    both = {"R_b > 1": answers[0], "R_n > 1": answers[1], "answer": all_of(answers)}
    return _cell(row, about["comparator"], domain) | ratios | both


def _box(row: Mapping[str, Any]) -> dict[str, Any]:
    """The same for the box of side 2 max_j |w*_j|, which is not counted."""
    about, noise = row["constants"], row["noise_anisotropy"]
    domain = bounds.box(about["d"], 2 * about["D_inf"])
    ratios = {"R_b": row["smoothness_anisotropy"], "R_n": noise.value, **ends(noise)}
    return _cell(row, "box", domain) | ratios | dict.fromkeys(("R_b > 1", "R_n > 1", "answer"), "not counted")


def _cell(row: Mapping[str, Any], name: str, domain: bounds.Domain) -> dict[str, Any]:
    found = bounds.coefficients(row["L_1"], row["L"], row["sigma_1"], row["sigma_2"], domain)
    return {
        "set": row["set"],
        "kind": row["kind"],
        "domain": name,
        "D_inf": domain.largest,
        "D_2": domain.length,
        "L_1 D_inf^2": found.adagrad_bias,
        "L D_2^2": found.sgd_bias,
        "sigma_1 D_inf": found.adagrad_noise,
        "sigma_2 D_2": found.sgd_noise,
    }


def _count(cells: list[dict[str, Any]], name: str) -> str:
    return f"{sum(cell[name] == 'holds' for cell in cells)} of {len(cells)}"


CLAIM = Claim(
    id="A7",
    sentence="The coefficients of the bounds favour AdaGrad, for a real comparator w* and w_0 = 0.",
    mark="S",
    studies=(STUDY,),
    statistic="share of real sets with R_b > 1 and R_n > 1 (SGD's coefficient over AdaGrad's, bias and noise)",
    threshold="at least 0.8 of the sets",
    judge=favour_adagrad,
    arms=arms,
)
