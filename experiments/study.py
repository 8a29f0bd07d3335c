"""What a study gives back, besides its figures.

A study is a module with QUESTION, `Settings` (a dataclass), `measure(settings, session)` and `draw(found, settings)`,
which gives its figures with their captions by name. It gets runs from `session.complete`, and from `session.calculate`
what needs no training.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    Figures = Mapping[str, tuple[Figure, str]]


@dataclass(frozen=True)
class Found:
    """Tables by name, written as <study>.<table>.csv; `reported`: the runs that they rest on and that loggers show."""

    tables: "Mapping[str, pandas.DataFrame]"
    reported: frozenset[str] = frozenset()
