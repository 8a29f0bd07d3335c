"""B9: AdAdaGrad converges like 1/K under the exact coordinate-wise test."""

from collections.abc import Mapping
from typing import Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.adadagrad import convergence_verdicts as verdicts
from experiments.papers.adadagrad.convergence_runs import COORDINATES


def converges(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B9: the rate at alpha = 1."""
    return verdicts.at_one_alpha(measurements, arm, COORDINATES)


CLAIM = Claim(
    id="B9",
    sentence="AdAdaGrad converges like 1/K under the exact coordinate-wise norm test.",
    mark="S",
    studies=(verdicts.STUDY,),
    statistic=verdicts.STATISTIC,
    threshold=verdicts.THRESHOLD,
    judge=converges,
    arms=verdicts.arms,
)
