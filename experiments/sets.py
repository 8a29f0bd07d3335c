"""The data sets of a study: which are at hand, and how large they are."""

import sys
from collections.abc import Sequence

from data import MissingData
from experiments import config
from experiments.spec import digest


def examples_in(tasks: Sequence[str]) -> dict[str, int]:
    """Number of examples by task; tasks whose data are not on this machine are left out, with a line that says so.

    Raises MissingData if none is at hand.
    """
    found, missing = {}, []
    for name in tasks:
        try:
            size = config.request([f"task={name}"]).runs[0].experiment.task.size
        except MissingData as problem:
            missing.append(problem)
            continue
        assert size is not None, f"{name} is a stream"
        found[name] = size
    if missing and not found:
        raise missing[0]
    for one in missing:
        print(f"skipped: {one}", file=sys.stderr)
    return found


def content_of(words: Sequence[str]) -> str:
    """A digest of the objective that these overrides name: its settings, its version and the content of its data."""
    return digest(config.request(list(words)).runs[0].experiment.canonical["task"])[:20]
