"""How the methods of this paper look in all its figures."""

from collections.abc import Iterable

import numpy as np

from experiments.figures import Style

MOST_R = 5  # exponents that have a colour each
_OF_R = ("#000000", "#CC79A7", "#E69F00", "#56B4E9", "#0072B2")  # small to large
OTHERS = {
    "AMSGrad": Style("#7F7F7F", "X", "-."),
    "RMSProp": Style("#D55E00", "D"),
    "ADOPT": Style("#009E73", "^"),
    "ADOPT, clipped": Style("#009E73", "v", "--"),
}


def of_exponents(exponents: Iterable[float]) -> dict[float, str]:
    """The colour of each r of theta_t."""
    values = sorted(set(exponents))
    places = np.linspace(0, MOST_R - 1, len(values)) if len(values) > 1 else [0.0]
    return {value: _OF_R[round(float(place))] for value, place in zip(values, places, strict=True)}
