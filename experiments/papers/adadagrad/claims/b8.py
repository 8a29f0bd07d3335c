"""B8: AdAdaGrad-Norm converges like 1/K under the exact test."""

from collections.abc import Mapping
from typing import Any

from experiments.claims import Claim, Judgement, Measurements
from experiments.papers.adadagrad import convergence_verdicts as verdicts
from experiments.papers.adadagrad.convergence_runs import NORM


def converges(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """B8: the rate at alpha = 1."""
    return verdicts.at_one_alpha(measurements, arm, NORM)


CLAIM = Claim(
    id="B8",
    sentence="AdAdaGrad-Norm converges like 1/K under the exact norm test.",
    mark="S",
    studies=(verdicts.STUDY,),
    statistic=verdicts.STATISTIC,
    threshold=verdicts.THRESHOLD,
    judge=converges,
    arms=verdicts.arms,
)
