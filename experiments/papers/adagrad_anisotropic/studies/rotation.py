"""The control: random rotations of the features. They leave SGD's law as it is and take AdaGrad's axes away."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import checks, config, protocol
from experiments.papers.adagrad_anisotropic import gains, rotation_figures
from experiments.protocol import Cell, Protocol
from experiments.session import Session
from experiments.sets import examples_in
from experiments.study import Found
from optim.settings import SettingError, setting

if TYPE_CHECKING:
    from experiments.study import Figures

QUESTION = "What do random rotations of the features change for each method, tuned again?"
KEYS = ("set", "l2", "batch_size")
_ALL_AXES_ALIKE = ("sgd", "adagrad_norm")  # methods that no rotation changes: one of them checks the code


@dataclass(kw_only=True)
class Settings:
    """What is run; all of it is ours."""

    sets: dict[str, Any] = field(metadata={"doc": "words of a task, by name"})
    batch_sizes: list[int] = field(metadata={"doc": "examples per step, the main one first"})
    passes: int = setting(20, minimum=1, doc="examples seen, in passes over the data: the same for every method")
    l2: list[Any] = field(metadata={"doc": 'strengths of the l2 term; "1/n" for one over the number of examples'})
    only: dict[str, Any] = setting({}, doc="by set: the batch_sizes and l2 that are run on it (all)")
    rotations: list[int] = field(metadata={"doc": "values of task.rotated, from 1; the first one for every method"})
    methods: dict[str, Any] = field(metadata={"doc": "overrides by name"})
    readouts: dict[str, Any] = field(metadata={"doc": "metric by name of the iterate"})
    grid: dict[str, Any] = field(metadata={"doc": "first and last learning rate to begin with, by method"})
    factor: float = setting(2.0, above=1.0, doc="ratio of neighbouring learning rates")
    tuning_seeds: list[int] = field(metadata={"doc": "seeds that learning rates are picked on"})
    seeds: list[int] = field(metadata={"doc": "fresh seeds that are reported"})

    def __post_init__(self) -> None:
        gains.check_methods(self.methods, self.grid)
        checks.tasks("sets", self.sets)
        for name, values in self.only.items():
            if name not in self.sets or not isinstance(values, dict) or not set(values) <= {"batch_sizes", "l2"}:
                raise SettingError(f"only: '{name}' must be one of the sets, with batch_sizes, l2 or both")
        if min(self.rotations, default=0) < 1:
            raise SettingError(f"rotations must be numbers from 1, not {self.rotations}")
        checks.strengths(self.l2)
        checks.distinct(self, "sets", "batch_sizes", "l2", "rotations", "readouts")


def measure(settings: Settings, session: Session) -> Found:
    """Table `gaps`: a row for each cell, rotation (0: the set as it is), method, readout and fresh seed."""
    at_hand = examples_in(sorted({words[0].removeprefix("task=") for words in settings.sets.values()}))
    cells = []
    for name, words in settings.sets.items():
        if words[0].removeprefix("task=") not in at_hand:
            continue
        n = config.request(words).runs[0].experiment.task.size
        assert n is not None, f"{name} is a stream"
        only = settings.only.get(name, {})
        for l2 in only.get("l2", settings.l2):
            for size in only.get("batch_sizes", settings.batch_sizes):
                cells += [
                    _cell(settings, name, n, l2, size, rotation, method)
                    for rotation in (0, *settings.rotations)
                    for method in settings.methods
                    if rotation in (0, settings.rotations[0]) or method.split(",")[0] not in _ALL_AXES_ALIKE
                ]
    protocol_ = Protocol(tuple(settings.tuning_seeds), tuple(settings.seeds), settings.factor)
    found = protocol.measure(cells, protocol_, session.complete)
    return Found({"gaps": gains.reported(found.fresh)}, found.reported)


def _cell(settings: Settings, name: str, n: int, l2: Any, size: int, rotation: int, method: str) -> Cell:
    words = (
        *settings.sets[name],
        f"task.l2={checks.strength(l2, n)!r}",
        f"task.rotated={rotation}",
        *settings.methods[method],
        f"batch_size.size={size}",
        f"budget.examples={settings.passes * n}",
        "average=uniform",
        "record=ends",
        "dtype=float64",
    )
    labels = {
        "set": name,
        "examples": n,
        "l2": str(l2),
        "batch_size": size,
        "steps": -(-settings.passes * n // size),
        "rotation": rotation,
        "method": method,
    }
    return Cell(labels, words, checks.rates(settings.grid[method], settings.factor), dict(settings.readouts))


def draw(found: Found, settings: Settings) -> "Figures":
    """Gaps before and after, and how far each method moved."""
    return rotation_figures.draw(found.tables["gaps"], settings, QUESTION)
