"""A6: smoothness and noise of real problems sit on few coordinates."""

from collections.abc import Mapping
from typing import Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.adagrad_anisotropic.anisotropy_verdicts import (
    STUDY,
    arms,
    dropping,
    ends,
    exact,
    failing,
    held,
    judge_sets,
    sampled,
    span,
)
from experiments.statistics import Answer, all_of
from experiments.theory import bounds

SMOOTHNESS = 3.0  # d ||L||_inf / ||L||_1
NOISE = 1.2  # sqrt(d) ||sigma||_2 / ||sigma||_1


def anisotropic(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """A6: both ratios are above their thresholds, with a certified L, on at least 0.8 of the real sets."""
    return judge_sets(measurements, arm, _cells, _say, ("smoothness", "noise"))


def _say(real: list[dict[str, Any]]) -> list[str]:
    both = f"{held(real, 'answer')} real sets are anisotropic in both; not so {failing(real, 'answer')}"
    of_smoothness = (
        f"smoothness, at least {SMOOTHNESS:g}: {span(real, 'smoothness')}; below on {failing(real, 'L')}; with diag(A) "
        f"in place of L, which is no valid one, {span(real, 'with diag(A)')}"
    )
    of_eigenvalue = (
        f"with lambda_max, SGD's best constant, in place of L_inf {span(real, 'with lambda_max')}: drops below on "
        f"{dropping(real, 'L')}; anisotropic in both {held(real, 'answer, lambda_max')}"
    )
    of_noise = f"noise, at least {NOISE:g}: {span(real, 'noise')}; below on {failing(real, 'sigma')}"
    return [both, of_smoothness, of_eigenvalue, of_noise]


def _cells(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    about, noise = row["constants"], row["noise_anisotropy"]
    of_noise = sampled(row, "noise_anisotropy", NOISE)
    answers: dict[str, Answer] = {}
    for constant in ("", ", lambda_max"):
        value = row[f"smoothness_anisotropy{constant}"]
        of_smoothness: Answer = exact(value, SMOOTHNESS) if row["certified"] else "inconclusive"
        answers |= {f"L{constant}": of_smoothness, f"answer{constant}": all_of([of_smoothness, of_noise])}
    cell = {
        "set": row["set"],
        "kind": row["kind"],
        "d": about["d"],
        "L_1": row["L_1"],
        "smoothness": row["smoothness_anisotropy"],
        "with lambda_max": row["smoothness_anisotropy, lambda_max"],
        "with diag(A)": bounds.smoothness_anisotropy(about["d"], about["diagonal_inf"], about["diagonal_1"]),
        "certificate": about["certificate"],
        "noise": noise.value,
        **ends(noise),
        "sigma": of_noise,
        **answers,
    }
    return [cell]


CLAIM = Claim(
    id="A6",
    sentence="Smoothness and gradient noise of real problems are concentrated on few coordinates.",
    mark="S",
    studies=(STUDY,),
    statistic=(
        "share of real sets: d L_inf/L_1 >= 3 (the certified L of least L_1, as AdaGrad wants it, and for SGD its "
        "largest entry; with SGD's best constant, lambda_max, as an arm) and sqrt(d) sigma_2/sigma_1 >= 1.2"
    ),
    threshold="at least 0.8 of the sets",
    judge=anisotropic,
    arms=arms,
)
