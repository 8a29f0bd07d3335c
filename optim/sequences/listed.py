"""Numbers given one by one."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from optim.mapping import Hyper
from optim.sequence import Sequence
from optim.settings import SettingError, setting


@dataclass(frozen=True, kw_only=True)
class Listed(Sequence):
    """The t-th number of a list; beyond its end there is none."""

    numbers: list[float] = setting([], doc="numbers for t = 1, 2, ...")

    def __post_init__(self) -> None:
        if not self.numbers:
            raise SettingError("numbers is empty: give a number for every step")

    def value(self, t: Any, hyper: Hyper) -> Any:
        last = int(np.max(t))
        if last > len(self.numbers):
            raise SettingError(f"the list has {len(self.numbers)} numbers, and step {last} needs one too")
        if np.ndim(t):
            return np.asarray(self.numbers)[np.asarray(t, dtype=np.int64) - 1]
        return self.numbers[int(t) - 1]
