"""Binary logistic regression on made-up data with unbalanced features."""

from dataclasses import dataclass
from typing import ClassVar

from data import DataSet
from data.generators import power_law_classification
from experiments.tasks.binary_logistic import BinaryLogistic
from optim.settings import setting


@dataclass(kw_only=True)
class PowerLawLogistic(BinaryLogistic):
    """Logistic regression on `data.generators.power_law_classification`: sparse binary features whose frequencies
    follow a power law, and labels of a logistic model of tunable density. Ours, for arXiv 2406.15244.
    """

    version: ClassVar[int] = 1

    examples: int = setting(2000, minimum=2, doc="rows")
    dimension: int = setting(100, minimum=1, doc="features")
    nonzeros: float = setting(10.0, above=0.0, doc="ones in a row, on average")
    imbalance: float = setting(
        1.0, minimum=0.0, maximum=10.0, doc="feature j is 1 in a share of rows like j^-imbalance"
    )
    density: float = setting(1.0, above=0.0, maximum=1.0, doc="share of the features that the labels depend on")
    margin: float = setting(2.0, above=0.0, doc="root mean square of the model's margins: how clear the labels are")
    problem_seed: int = setting(0, minimum=0, doc="seed of the data, whatever the seed of the run is")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._made: DataSet | None = None

    def loaded(self) -> DataSet:
        if self._made is None:
            self._made = power_law_classification(
                self.examples,
                self.dimension,
                nonzeros=self.nonzeros,
                imbalance=self.imbalance,
                density=self.density,
                margin=self.margin,
                seed=self.problem_seed,
            )
        return self._made

    def content(self) -> dict[str, str]:
        return {"data": self.loaded().digest}
