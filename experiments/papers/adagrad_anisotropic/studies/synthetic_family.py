"""Which problems does AdaGrad win? A family with tunable imbalance of the features and tunable density of the model."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import checks, protocol
from experiments.api import load_task
from experiments.papers.adagrad_anisotropic import family_figures, gains
from experiments.papers.adagrad_anisotropic.set_constants import minimiser
from experiments.protocol import Cell, Protocol
from experiments.session import Session
from experiments.sets import content_of
from experiments.study import Found
from experiments.theory import bounds
from experiments.theory.smoothness import smoothness
from optim.settings import SettingError, setting

if TYPE_CHECKING:
    import pandas

    from experiments.calculations import Row
    from experiments.study import Figures

QUESTION = "Does AdaGrad's gain over SGD follow the ratio of their bounds as imbalance and density change?"
KEYS = ("family", "imbalance", "density", "batch_size")
_VERSION = 1  # of the coefficients


@dataclass(kw_only=True)
class Settings:
    """What is run; all of it is ours."""

    families: dict[str, Any] = field(
        metadata={
            "doc": "by name: words of a task, its settings for imbalance and density, first and last rate by method"
        }
    )
    imbalances: list[float] = field(metadata={"doc": "powers of the law of the features' frequencies or variances"})
    densities: list[float] = field(
        metadata={"doc": "shares of the coordinates where the w that makes the targets is not zero"}
    )
    batch_sizes: list[int] = field(
        metadata={"doc": "examples per step, the main one first; the others for the first family"}
    )
    examples: int = setting(20000, minimum=1, doc="examples seen, the same for every method and batch size")
    methods: dict[str, Any] = field(metadata={"doc": "overrides by name"})
    readouts: dict[str, Any] = field(metadata={"doc": "metric by name of the iterate"})
    factor: float = setting(2.0, above=1.0, doc="ratio of neighbouring learning rates")
    tuning_seeds: list[int] = field(metadata={"doc": "seeds that learning rates are picked on"})
    seeds: list[int] = field(metadata={"doc": "fresh seeds that are reported"})

    def __post_init__(self) -> None:
        for name, about in self.families.items():
            if not isinstance(about, dict) or set(about) != {"words", "imbalance", "density", "grid"}:
                raise SettingError(f"families: '{name}' must have words, imbalance, density and grid, and nothing else")
            gains.check_methods(self.methods, about["grid"])
        checks.distinct(self, "families", "imbalances", "densities", "batch_sizes", "readouts")


def measure(settings: Settings, session: Session) -> Found:
    """Tables `gaps` (a row for each cell, method, readout and fresh seed) and `coefficients` (one for each cell)."""
    problems: list[tuple[dict[str, Any], list[str]]] = [
        ({"family": name, "imbalance": imbalance, "density": density}, _words(about, imbalance, density))
        for name, about in settings.families.items()
        for imbalance in settings.imbalances
        for density in settings.densities
    ]
    known = session.calculate(
        coefficients, _VERSION, [{"words": w, "content": content_of(w)} for _, w in problems], "coefficients"
    )
    cells = [
        Cell(
            {**labels, "batch_size": size, "method": method},
            (
                *words,
                *settings.methods[method],
                f"batch_size.size={size}",
                f"budget.examples={settings.examples}",
                "average=uniform",
                "record=ends",
                "dtype=float64",
            ),
            checks.rates(settings.families[labels["family"]]["grid"][method], settings.factor),
            dict(settings.readouts),
        )
        for labels, words in problems
        for size in _sizes(settings, labels["family"])
        for method in settings.methods
    ]
    protocol_ = Protocol(tuple(settings.tuning_seeds), tuple(settings.seeds), settings.factor)
    found = protocol.measure(cells, protocol_, session.complete)
    ratios = _ratios(settings, [labels for labels, _ in problems], known)
    return Found({"gaps": gains.reported(found.fresh), "coefficients": ratios}, found.reported)


def _words(about: dict[str, Any], imbalance: float, density: float) -> list[str]:
    return [*about["words"], f"{about['imbalance']}={imbalance!r}", f"{about['density']}={density!r}"]


def coefficients(words: list[str], content: str) -> "list[Row]":
    """Of one problem: norms of L (smallest certified) and of sigma (per example, at w_0 = 0), and of w*.

    content: the digest of the problem, for the identity of the calculation.
    """
    task = load_task(words[0].removeprefix("task="), words[1:])
    bound = task.curvature_bound()
    moments = task.gradient_moments(task.init())
    assert bound is not None
    assert moments is not None
    known = smoothness(*bound)
    domain = bounds.comparator(minimiser(task))
    sigma = np.sqrt(moments[1]["weight"].numpy())
    return [
        {
            "d": known.active,
            "L_1": known.total,
            "L_inf": known.largest,
            "lambda_max": known.top_eigenvalue,
            "certificate": known.certificate,
            "sigma_1": float(sigma.sum()),
            "sigma_2": float(np.linalg.norm(sigma)),
            "D_inf": domain.largest,
            "D_2": domain.length,
        }
    ]


def _ratios(settings: Settings, labels: list[dict[str, Any]], known: "list[Row]") -> "pandas.DataFrame":
    """SGD's bound over AdaGrad's (section 2 of the paper's page, without constants), for the comparator w*.

    effective_density: ||w*||_2^2/(d ||w*||_inf^2), 1 where all coordinates are of one size. The minimiser w* of noisy
    rows is not zero where the w that made their targets is.
    """
    import pandas as pd

    rows = []
    for label, c in zip(labels, known, strict=True):
        noise_and_domain = c["sigma_1"], c["sigma_2"], bounds.Domain(c["D_inf"], c["D_2"])
        parts = {name: bounds.coefficients(c["L_1"], c[name], *noise_and_domain) for name in ("L_inf", "lambda_max")}
        main = parts["L_inf"]
        for size in _sizes(settings, label["family"]):
            steps = -(-settings.examples // size)
            rows.append(
                {
                    **label,
                    "batch_size": size,
                    "steps": steps,
                    **c,
                    "effective_density": (c["D_2"] / c["D_inf"]) ** 2 / c["d"],
                    "bounds": _whole(main, steps, settings.examples),
                    "bounds, lambda_max": _whole(parts["lambda_max"], steps, settings.examples),
                    "R_b": main.bias_ratio,
                    "R_n": main.noise_ratio,
                }
            )
    return pd.DataFrame(rows)


def _whole(c: bounds.Coefficients, steps: int, examples: int) -> float:
    root = math.sqrt(examples)
    return (c.sgd_bias / steps + c.sgd_noise / root) / (c.adagrad_bias / steps + c.adagrad_noise / root)


def _sizes(settings: Settings, family: str) -> list[int]:
    """The other batch sizes are an arm of the first family alone."""
    return settings.batch_sizes if family == next(iter(settings.families)) else settings.batch_sizes[:1]


def draw(found: Found, settings: Settings) -> "Figures":
    """The map of the gain with the bounds' ratio beside it, and the one against the other."""
    return family_figures.draw(found.tables, settings, QUESTION)
