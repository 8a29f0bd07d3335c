"""The mean of a quantity over the steps so far, and how fast it falls: what non-convex rates are about."""

from collections.abc import Sequence

import numpy as np

Numbers = Sequence[float] | np.ndarray


def running_means(steps: Numbers, values: Numbers, wanted: Sequence[int]) -> np.ndarray:
    """Means over t = 0 to T-1, for each T wanted, of values known at some steps, 0 the first, and linear in between.

    Exact where every step is known. Raises ValueError unless steps increase from 0 and reach every T - 1.
    """
    known, found = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    if known.shape != found.shape or not len(known) or known[0] != 0 or not (np.diff(known) > 0).all():
        raise ValueError("steps must increase from 0, with a value for each")
    if min(wanted) < 1 or max(wanted) - 1 > known[-1]:
        raise ValueError(f"means over T steps need 1 <= T <= {known[-1] + 1:g}, not {list(wanted)}")
    sums = np.cumsum(np.interp(np.arange(max(wanted)), known, found))
    return np.asarray([sums[T - 1] / T for T in wanted])


def slope(steps: Numbers, means: Numbers) -> float:
    """Least-squares slope of log mean against log T: -1/2 for means that fall like 1/sqrt(T)."""
    return float(np.polyfit(np.log(steps), np.log(means), 1)[0])
