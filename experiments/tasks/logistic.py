"""Binary logistic regression on a data set."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from data import DataSet
from experiments.tasks.binary_logistic import BinaryLogistic
from experiments.tasks.named_data import NamedData
from optim.settings import SettingError, setting


@dataclass(kw_only=True)
class LogisticRegression(NamedData, BinaryLogistic):
    """Logistic regression on a registered set or a file of the user's; the larger of two labels is +1."""

    version: ClassVar[int] = 2

    positive_above: float | None = setting(None, doc="makes many classes two: labels above it are +1, the others -1")

    def _positive(self, loaded: DataSet) -> Any:
        labels = np.unique(loaded.targets)
        border = self.positive_above
        if border is None and len(labels) != 2:
            raise SettingError(
                f"binary logistic regression needs two classes, and {loaded.name} has {len(labels)}"
                f" ({', '.join(f'{v:g}' for v in labels[:5])}{', ...' if len(labels) > 5 else ''}): "
                "task.positive_above=<label> splits them in two"
            )
        if border is not None and not labels[0] <= border < labels[-1]:
            raise SettingError(
                f"task.positive_above={border:g} leaves one class only: the labels of {loaded.name} go from "
                f"{labels[0]:g} to {labels[-1]:g}"
            )
        return loaded.targets > (labels[0] if border is None else border)
