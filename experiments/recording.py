"""When a run is looked at: recording points, spaced on the axis of its budget."""

from experiments.spec import Budget
from optim.settings import SettingError

_POINTS = 64  # of a logarithmic record


def check(record: str) -> str:
    """The text as it was; raises SettingError unless it is "ends", "log" or "every:K"."""
    kind, _, number = record.partition(":")
    if record in ("ends", "log") or (kind == "every" and number.isdigit() and int(number) > 0):
        return record
    raise SettingError(f"record={record} is none of: ends, log, every:K with a whole number K > 0")


def points(record: str, budget: Budget) -> list[float]:
    """Increasing amounts on the budget's axis, the budget itself the last; the start is always recorded as well.

    "ends": the budget only. "every:K": each K. "log": 64 points spaced geometrically from 1 (whole ones, but for a
    budget in seconds).
    """
    if record == "ends":
        return [budget.amount]
    if record == "log":
        spaced = [budget.amount ** (i / (_POINTS - 1)) for i in range(_POINTS)]
        whole = spaced if budget.axis == "seconds" else [float(round(x)) for x in spaced]
        return sorted({x for x in whole if x < budget.amount} | {budget.amount})
    every = int(record.partition(":")[2])
    count = int((budget.amount - 1e-9) // every)
    return [float(every * i) for i in range(1, count + 1)] + [budget.amount]
