"""The data sets of a study: which are at hand, and how large they are."""

import sys
from collections.abc import Sequence

from data import MissingData
from experiments import config


def examples_in(tasks: Sequence[str]) -> dict[str, int]:
    """Number of examples by task; tasks whose data are not on this machine are left out, with a line that says so.

    Raises MissingData if none is at hand.
    """
    found, missing = {}, None
    for name in tasks:
        try:
            size = config.request([f"task={name}"]).runs[0].experiment.task.size
        except MissingData as problem:
            print(f"skipped: {problem}", file=sys.stderr)
            missing = problem
            continue
        assert size is not None, f"{name} is a stream"
        found[name] = size
    if not found and missing is not None:
        raise missing
    return found
