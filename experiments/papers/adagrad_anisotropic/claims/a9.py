"""A9: AdaGrad ends closer to the optimum than AdaGrad-Norm."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.claims import Claim, Measurements
from experiments.papers.adagrad_anisotropic import ratios


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """As A2's, without the choice among kinds of SGD."""
    found = [{k: v for k, v in arm.items() if k != "sgd"} for arm in ratios.arms(measurements)]
    return [arm for i, arm in enumerate(found) if arm not in found[:i]]


CLAIM = Claim(
    id="A9",
    sentence="At equal examples AdaGrad reaches a lower gap than AdaGrad-Norm, each at its own tuned learning rate.",
    mark="S",
    studies=(ratios.STUDY,),
    statistic="share of cells (set, batch size) where AdaGrad-Norm's gap over AdaGrad's is above 1.2 (95% interval, "
    "paired)",
    threshold="at least 0.8 of the cells",
    judge=functools.partial(ratios.lower_gap, rival="adagrad_norm"),
    arms=arms,
)
