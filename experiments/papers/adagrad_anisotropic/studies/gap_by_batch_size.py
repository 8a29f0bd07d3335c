"""How far from the optimum does each method end after equally many examples, as a function of the batch size?"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import checks, protocol
from experiments.papers.adagrad_anisotropic import gap_figures
from experiments.papers.adagrad_anisotropic.ratios import RESOLUTION
from experiments.protocol import Cell, Outcome, Protocol
from experiments.session import Session
from experiments.sets import examples_in
from optim.settings import SettingError, is_number, nearest, setting

if TYPE_CHECKING:
    from experiments.study import Figures

QUESTION = "Does AdaGrad beat SGD on logistic regression at every batch size, each at its own tuned learning rate?"
_SAMPLINGS = ("replacement", "reshuffled")


@dataclass(kw_only=True)
class Settings:
    """What is run. The paper's own values are not known for most of it, so each is an arm or a stated choice."""

    sets: list[str] = field(metadata={"doc": "tasks"})
    batch_sizes: list[Any] = field(metadata={"doc": 'whole numbers, or "full" for the exact gradient'})
    passes: int = setting(20, minimum=1, doc="examples seen, in passes over the data: the same for every method")
    l2: list[Any] = field(metadata={"doc": 'strengths of the l2 term; "1/n" for one over the number of examples'})
    eps: dict[str, Any] = setting({"default": {}}, doc="what guards the division: overrides by method, by name")
    sampling: Any = setting("replacement", doc="how batches are drawn: replacement or reshuffled, or a list of both")
    methods: dict[str, Any] = field(metadata={"doc": "overrides by name; the last one is compared with the others"})
    readouts: dict[str, Any] = field(metadata={"doc": "metric by name of the iterate"})
    grid: dict[str, Any] = field(metadata={"doc": "first and last learning rate to begin with, by method"})
    factor: Any = setting(2.0, doc="ratio of neighbouring learning rates, or a list of such ratios")
    tuning_seeds: list[int] = field(metadata={"doc": "seeds that learning rates are picked on"})
    seeds: list[int] = field(metadata={"doc": "fresh seeds that are reported"})
    arm_sets: list[str] | None = setting(None, doc="sets on which more than the first l2, eps, ... is run (all)")
    only: dict[str, Any] = setting({}, doc="by set: the batch_sizes and methods that are run on it (all)")

    def __post_init__(self) -> None:
        self.sampling, self.factor = (v if isinstance(v, list) else [v] for v in (self.sampling, self.factor))
        checks.distinct(self, "sets", "batch_sizes", "l2", "eps", "sampling", "factor", "methods", "readouts")
        for size in self.batch_sizes:
            if size != "full" and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
                raise SettingError(f'batch_sizes must hold whole numbers from 1 or "full", not {size!r}')
        checks.strengths(self.l2)
        for factor in self.factor:
            if not (is_number(factor) and factor > 1):
                raise SettingError(f"factor must be greater than 1, not {factor!r}")
        for sampling in self.sampling:
            if sampling not in _SAMPLINGS:
                raise SettingError(f"there is no sampling {sampling!r}: {nearest(sampling, _SAMPLINGS)}")
        for name in ("seeds", "tuning_seeds"):
            for seed in getattr(self, name):
                if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
                    raise SettingError(f"{name} must hold whole numbers from 0, not {seed!r}")
        checks.methods(self.methods, self.grid)


def measure(settings: Settings, session: Session) -> Outcome:
    """Run it. The tables' labels: set, examples, l2, eps, sampling, grid, batch, batch_size, steps, method.

    Batch sizes above the size of a set are left out.
    """
    sizes = examples_in(settings.sets)
    first, *others = variants(settings)
    chosen = set(settings.arm_sets or []) & set(sizes)  # all, if none of them is run
    cells = []
    for name, n in sizes.items():
        only = settings.only.get(name, {})
        more = others if name in (chosen or sizes) else []
        for variant in (first, *more):
            batches, methods = only.get("batch_sizes", settings.batch_sizes), only.get("methods", settings.methods)
            batches = [batch for batch in batches if batch == "full" or batch <= n]
            cells += [_cell(settings, name, n, variant, batch, method) for batch in batches for method in methods]
    if not cells:
        raise SettingError(
            f"batch_sizes={settings.batch_sizes}: none of these batch sizes is at most the size of a set"
        )
    seeds = tuple(settings.tuning_seeds), tuple(settings.seeds)
    return protocol.measure(cells, Protocol(*seeds, settings.factor[0], floor=RESOLUTION), session.complete)


def variants(settings: Settings) -> list[dict[str, Any]]:
    """The main choice of everything that we do not know, then each other choice on its own."""
    options = {name: list(getattr(settings, name)) for name in ("l2", "eps", "sampling", "factor")}
    main = {name: values[0] for name, values in options.items()}
    return [main, *({**main, name: value} for name, values in options.items() for value in values[1:])]


def _cell(settings: Settings, name: str, n: int, variant: dict[str, Any], batch: Any, method: str) -> Cell:
    factor = float(variant["factor"])
    words = (*words_of(settings, name, n, variant, batch, method), f"budget.examples={settings.passes * n}")
    size = n if batch == "full" else int(batch)
    labels = labels_of(name, n, variant, batch, method, -(-settings.passes * n // size))
    return Cell(labels, words, checks.rates(settings.grid[method], factor), dict(settings.readouts), factor)


def words_of(settings: Settings, name: str, n: int, variant: dict[str, Any], batch: Any, method: str) -> list[str]:
    """The overrides of a point, but for its budget and learning rate."""
    drawn = [f"batch_size.size={batch}", f"sampling={variant['sampling']}"]
    return [
        f"task={name}",
        f"task.l2={checks.strength(variant['l2'], n)!r}",
        *settings.methods[method],
        *settings.eps[variant["eps"]].get(method, []),
        *(["batch_size=full"] if batch == "full" else drawn),
        "average=uniform",
        "dtype=float64",
    ]


def labels_of(name: str, n: int, variant: dict[str, Any], batch: Any, method: str, steps: int) -> dict[str, Any]:
    """What the tables call a point."""
    return {
        "set": name,
        "examples": n,
        "l2": str(variant["l2"]),
        "eps": variant["eps"],
        "sampling": variant["sampling"],
        "grid": _grid(variant),
        "batch": str(batch),
        "batch_size": n if batch == "full" else int(batch),
        "steps": steps,
        "method": method,
    }


def draw(found: Outcome, settings: Settings) -> "Figures":
    """The gap, the picked rates and the worth of a search, for the main variant."""
    main = variants(settings)[0]
    wanted = {
        "l2": str(main["l2"]),
        "eps": main["eps"],
        "sampling": main["sampling"],
        "grid": _grid(main),
        "readout": next(iter(settings.readouts)),
    }
    tuning, fresh = found.tuning, found.fresh
    for column, value in wanted.items():
        tuning, fresh = tuning[tuning[column] == value], fresh[fresh[column] == value]
    return gap_figures.draw(tuning, fresh, settings, QUESTION)


def _grid(variant: dict[str, Any]) -> str:
    return f"factor {float(variant['factor']):g}"
