"""The networks of the study `speed_up`: their runs, the steps that they took and how noisy their gradients were."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from experiments import checks, config, curves
from experiments.calculations import Row
from experiments.papers.practical_adam.speed_up_bowl import CONSTANT, MEAN
from experiments.session import Session
from experiments.spec import Run
from experiments.theory import critical_batch
from optim import settings
from optim.settings import SettingError, setting

NEAR = 1.5  # the noise scale is the mean over records with a loss within this factor of the target


@dataclass(kw_only=True)
class Network:
    """One network. Its runs of batch size b last `steps + examples / b` steps."""

    words: list[str] = field(metadata={"doc": "overrides that begin with task="})
    lr: float = setting(0.001, above=0.0, doc="alpha_t = lr/sqrt(t) at every batch size")
    target: float = setting(0.5, above=0.0, doc="training loss to be reached")
    batch_sizes: list[int] = field(metadata={"doc": "examples per step"})
    constant_batch_sizes: list[int] = field(metadata={"doc": "the same with the constant theta; may be empty"})
    steps: int = setting(100, minimum=1, doc="steps of a run, beside its examples")
    examples: int = setting(1000, minimum=0, doc="examples of a run, beside its steps")
    records: int = setting(24, minimum=2, doc="evenly spaced steps of a run at which its loss is recorded")
    noise_batch_size: int = setting(32, minimum=1, doc="of extra runs with 1 - 1/t that measure the gradient's noise")
    noise_every: int | None = setting(
        10, minimum=1, doc="steps between two measurements, each a gradient of all the data; null: none, not judged"
    )
    noise_examples: int = setting(64, minimum=2, doc="examples whose own gradients a measurement looks at")

    def __post_init__(self) -> None:
        checks.distinct(self, "batch_sizes")
        for name in ("batch_sizes", "constant_batch_sizes"):
            values = getattr(self, name)
            if values != sorted(set(values)) or min(values, default=1) < 1:
                raise SettingError(f"{name} must hold whole numbers from 1 that increase, not {values}")
        if self.noise_every is not None and self.noise_batch_size > max(self.batch_sizes):
            raise SettingError(
                f"noise_batch_size={self.noise_batch_size} is above all batch_sizes: at most {max(self.batch_sizes)}"
            )
        longest = self.budget(self.noise_batch_size)
        if self.noise_every is not None and self.noise_every > longest:
            raise SettingError(
                f"noise_every={self.noise_every} is more than the {longest} steps of a run with noise_batch_size="
                f"{self.noise_batch_size}: choose a smaller one, so that the noise is measured"
            )

    def budget(self, size: int) -> int:
        """Steps of a run."""
        return self.steps + math.ceil(self.examples / size)


def networks(values: Mapping[str, Any]) -> dict[str, Network]:
    """The checked networks by name; raises SettingError."""
    for name, about in values.items():
        if not isinstance(about, dict):
            raise SettingError(f"networks: '{name}' must hold settings")
    made = {name: settings.build(Network, about, f"networks.{name}") for name, about in values.items()}
    checks.tasks("networks", {name: network.words for name, network in made.items()})
    return made


def measured(
    made: Mapping[str, Network], common: list[str], theta: float, seeds: list[int], session: Session
) -> tuple[list[Row], list[Row], frozenset[str]]:
    """Rows of steps (see `speed_up.measure`), rows of noise scales, one for each network and seed, and the runs."""
    thetas = {MEAN: ["theta=towards_one", "theta.r=1"], CONSTANT: ["theta=constant", f"theta.at={theta!r}"]}
    planned: list[tuple[dict[str, Any], Run]] = [
        ({"problem": name, "theta": label, "batch_size": size}, run)
        for name, network in made.items()
        for label, words, sizes in (
            (MEAN, thetas[MEAN], network.batch_sizes),
            (CONSTANT, thetas[CONSTANT], network.constant_batch_sizes),
        )
        for size in sizes
        for run in _runs(network, words, size, seeds, [*common, _record(network, size)])
    ]
    watching = [
        (name, run)
        for name, network in made.items()
        if network.noise_every is not None
        for run in _runs(network, thetas[MEAN], network.noise_batch_size, seeds, [*common, *_probes(network)])
    ]
    session.complete([run for _, run in planned], "networks")
    if watching:
        session.complete([run for _, run in watching], "noise of the networks' gradients")
    found = curves.read(session.store, [run.id for _, run in planned], ["loss"])
    rows: list[Row] = []
    for labels, run in planned:
        curve, target = found[run.id], made[labels["problem"]].target
        if curve.values["loss"][0] <= target:  # known only now; runs do not depend on the target, so that none is lost
            raise SettingError(
                f"networks.{labels['problem']}: the loss is {curve.values['loss'][0]:.3g} before the first step, with "
                f"seed {run.seed}: choose a target below it, not {target:g}"
            )
        needed = critical_batch.steps_to(curve.steps, curve.values["loss"], target)
        row = {**labels, "target": target, "seed": run.seed, "steps": needed}
        rows.append({**row, "allowed": made[labels["problem"]].budget(labels["batch_size"])})
    noise = curves.read(session.store, [run.id for _, run in watching], ["loss", "gradient_norm", "noise_l2"])
    scales: list[Row] = [
        {"problem": name, "seed": run.seed, "noise_scale": _noise_scale(noise[run.id], made[name].target)}
        for name, run in watching
    ]
    return rows, scales, frozenset(run.id for _, run in (*planned, *watching))


def _runs(network: Network, theta: list[str], size: int, seeds: list[int], words: list[str]) -> tuple[Run, ...]:
    method = ["optimizer=generic_adam", f"optimizer.lr={network.lr!r}", "alpha=power", "alpha.s=0.5", *theta]
    length = [f"batch_size.size={size}", f"budget.steps={network.budget(size)}"]
    return tuple(config.request([*network.words, *method, *length, *words, f"lanes.seed={seeds}"]).runs)


def _record(network: Network, size: int) -> str:
    return f"record=every:{max(1, network.budget(size) // network.records)}"


def _probes(network: Network) -> list[str]:
    return [
        f"record=every:{network.noise_every}",
        "probe=[gradient_norm,gradient_noise]",
        f"probe.gradient_noise.examples={network.noise_examples}",
    ]


def _noise_scale(curve: curves.Curve, target: float) -> float:
    """Geometric mean of tr(Sigma)/||grad||^2 over the records near the target; NaN if there are none."""
    near = np.abs(np.log(curve.values["loss"] / target)) <= math.log(NEAR)
    logs = 2 * np.log(curve.values["noise_l2"][near] / curve.values["gradient_norm"][near])
    return float(np.exp(logs.mean())) if near.any() else math.nan
