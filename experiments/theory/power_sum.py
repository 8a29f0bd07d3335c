"""Sums of powers of consecutive whole numbers."""

import math

_FEW = 64  # the formula begins here, where its error is below rounding


def power_sum(s: float, first: int, last: int) -> float:
    """`sum t^-s` over first <= t <= last: the first terms one by one, the rest by Euler and Maclaurin's formula."""
    start = max(first, _FEW)
    if start >= last:
        return math.fsum(t**-s for t in range(first, last + 1))
    begun = math.fsum(t**-s for t in range(first, start))
    span = math.log(last / start)
    integral = start ** (1 - s) * (math.expm1((1 - s) * span) / (1 - s) if s != 1 else span)
    ends = (start**-s + last**-s) / 2
    slopes = s * (start ** (-s - 1) - last ** (-s - 1)) / 12
    thirds = s * (s + 1) * (s + 2) * (start ** (-s - 3) - last ** (-s - 3)) / 720
    return float(begun + integral + ends + slopes - thirds)
