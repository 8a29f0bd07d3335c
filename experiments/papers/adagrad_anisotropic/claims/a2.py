"""A2: AdaGrad ends closer to the optimum than SGD."""

from experiments.claims import Claim
from experiments.papers.adagrad_anisotropic.ratios import STUDY, arms, lower_gap

CLAIM = Claim(
    id="A2",
    sentence="At equal examples AdaGrad reaches a lower gap than SGD, each at its own tuned learning rate.",
    mark="S",
    studies=(STUDY,),
    statistic="share of cells (set, batch size) where SGD's gap over AdaGrad's is above 1.2 (95% interval, paired)",
    threshold="at least 0.8 of the cells",
    judge=lower_gap,
    arms=arms,
)
