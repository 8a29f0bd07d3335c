"""A6: smoothness and noise of real problems sit on few coordinates."""

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

SMOOTHNESS = 3.0  # d ||L||_inf / ||L||_1
NOISE = 1.2  # sqrt(d) ||sigma||_2 / ||sigma||_1


def anisotropic(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A6: both ratios are above their thresholds, with a certified L, on at least 0.8 of the real sets."""
    cells = [_cell(row) for row in by_set(measurements, arm)]
    real = [cell for cell in cells if cell["kind"] == "real"]
    if not real:
        return NOTHING
    answers: list[Answer] = [cell["answer"] for cell in real]
    answer, share = decide_share(answers, SHARE)
    both = (
        f"{answers.count('holds')} of {len(real)} real sets are anisotropic in both; not so {_failing(real, 'answer')}"
    )
    of_smoothness = (
        f"smoothness, at least {SMOOTHNESS:g}: {span(real, 'smoothness')}; below on {_failing(real, 'L')}; "
        f"with lambda_max in place of L_inf {span(real, 'with lambda_max')}; with diag(A) in place of L, which is no "
        f"valid one, {span(real, 'with diag(A)')}"
    )
    of_noise = f"noise, at least {NOISE:g}: {span(real, 'noise')}; below on {_failing(real, 'sigma')}"
    remarks = [both, of_smoothness, of_noise]
    made_up = [cell for cell in cells if cell["kind"] != "real"]
    if made_up:
        uneven = sum(cell["answer"] == "holds" for cell in made_up)
        remarks.append(
            f"not counted, {len(made_up)} made-up problems: smoothness {span(made_up, 'smoothness')}, noise "
            f"{span(made_up, 'noise')}; {uneven} anisotropic in both"
        )
    return Judgement(answer, share, tuple(remarks), tuple(cells))


def _cell(row: Mapping[str, Any]) -> dict[str, Any]:
    about, noise = row["constants"], row["noise_anisotropy"]
    of_smoothness: Answer = exact(row["smoothness_anisotropy"], SMOOTHNESS)
    if not row["certified"]:
        of_smoothness = "inconclusive"
    of_noise = sampled(row, "noise_anisotropy", NOISE)
    return {
        "set": row["set"],
        "kind": row["kind"],
        "d": about["d"],
        "L_1": row["L_1"],
        "smoothness": row["smoothness_anisotropy"],
        "with lambda_max": about["d"] * about["lambda_max"] / row["L_1"],
        "with diag(A)": about["d"] * about["diagonal_inf"] / about["diagonal_1"],
        "certificate": about["certificate"],
        "noise": noise.value,
        **ends(noise),
        "L": of_smoothness,
        "sigma": of_noise,
        "answer": all_of([of_smoothness, of_noise]),
    }


def _failing(cells: list[dict[str, Any]], name: str) -> str:
    return ", ".join(cell["set"].removeprefix("logistic/") for cell in cells if cell[name] == "fails") or "none"


CLAIM = Claim(
    id="A6",
    sentence="Smoothness and gradient noise of real problems are concentrated on few coordinates.",
    mark="S",
    studies=(STUDY,),
    statistic="share of real sets: d L_inf/L_1 >= 3 (norms of a certified L) and sqrt(d) sigma_2/sigma_1 >= 1.2",
    threshold="at least 0.8 of the sets",
    judge=anisotropic,
    arms=arms,
)
