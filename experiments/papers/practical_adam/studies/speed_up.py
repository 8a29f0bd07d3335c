"""Does a batch b times as large need b times fewer steps, and where does that end?"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import checks
from experiments.papers.practical_adam import speed_up_bowl, speed_up_figures, speed_up_networks
from experiments.papers.practical_adam.speed_up_bowl import CONSTANT, CORRECTED, HORIZON, MEAN
from experiments.session import Session
from experiments.study import Found
from experiments.theory import critical_batch
from optim.settings import SettingError, setting

if TYPE_CHECKING:
    import pandas

    from experiments.calculations import Row
    from experiments.study import Figures

QUESTION = "How do the steps to a target fall with the batch size, the learning rate being the same for all?"
BOWL = "bowl"
_VERSION = 1  # of the calculations


@dataclass(kw_only=True)
class Settings:
    """The bowl of section 5 of the paper's page, and networks."""

    dimension: int = setting(200, minimum=1, doc="coordinates of the bowl")
    noise: float = setting(5.0, above=0.0, doc="standard deviation of one draw's gradient in each coordinate")
    start: float = setting(1.0, doc="every coordinate of x_1")
    lr: float = setting(1.0, above=0.0, doc="on the bowl: alpha_t = lr/sqrt(t), or lr/sqrt(T)")
    beta: float = setting(0.9, minimum=0.0, below=1.0, doc="first-moment decay on the bowl; the networks have 0.9")
    theta: float = setting(0.999, above=0.0, below=1.0, doc="the constant one, on the bowl and on the networks")
    steps: int = setting(20_000, minimum=10, doc="of a run on the bowl")
    batch_sizes: list[int] = field(metadata={"doc": "on the bowl"})
    target: float = setting(3.0, above=0.0, doc="gradient norm on the bowl, with theta_t = 1 - 1/t and 1 - 1/T")
    constant_target: float = setting(2.0, above=0.0, doc="the same with the constant theta")
    horizons: list[int] = field(metadata={"doc": "T of the runs with theta = 1 - 1/T, increasing"})
    seeds: list[int] = field(metadata={"doc": "replicas of the bowl's noise"})
    networks: dict[str, Any] = field(
        metadata={
            "doc": "by name: words, lr, target (a training loss), batch_sizes, steps, examples, noise_batch_size, "
            "noise_every, noise_examples"
        }
    )
    common: list[str] = field(metadata={"doc": "overrides of the networks' runs"})
    network_seeds: list[int] = field(metadata={"doc": "seeds of the networks' runs"})

    def __post_init__(self) -> None:
        checks.distinct(self, "batch_sizes", "horizons", "seeds", "network_seeds")
        for name, least in (("batch_sizes", 1), ("horizons", 2)):
            values = getattr(self, name)
            if values != sorted(values) or values[0] < least:
                raise SettingError(f"{name} must hold whole numbers from {least} that increase, not {values}")
        highest = speed_up_bowl.norm_at_start(self.bowl)
        for name in ("target", "constant_target"):
            if getattr(self, name) >= highest:
                raise SettingError(
                    f"{name}={getattr(self, name):g} must be below the gradient norm at the start, {highest:.3g}"
                )
        late = [last for last in self.horizons if 10 * last >= self.horizons[-1]]
        if len(late) < 2:
            raise SettingError(f"horizons must hold two or more in their last decade, for a slope, not {self.horizons}")
        if BOWL in self.networks:
            raise SettingError(f"networks: '{BOWL}' is the name of the bowl: choose another one")
        self.plans = speed_up_networks.networks(self.networks)

    @property
    def bowl(self) -> dict[str, Any]:
        """The bowl as plain values."""
        return {"dimension": self.dimension, "noise": self.noise, "start": self.start}


def measure(settings: Settings, session: Session) -> Found:
    """Tables: `steps`, one row for each problem, theta_t, batch size and seed, with the steps to the target (inf: not
    within `allowed`); `scales`, noise scales at the targets; `horizons`, the mean gradient norm by batch size and T.

    On the bowl steps are those after which the gradient norm stays below the target; with 1 - 1/T the first T whose
    mean norm is; on networks those to the first record whose loss is, interpolated.
    """
    import pandas as pd

    shared = {"bowl": settings.bowl, "lr": settings.lr, "beta": settings.beta, "sizes": settings.batch_sizes}
    targets = {MEAN: settings.target, CONSTANT: settings.constant_target, CORRECTED: settings.constant_target}
    of_target = {"theta": settings.theta, "steps": settings.steps, "targets": targets}
    settled = session.calculate(
        speed_up_bowl.settling,
        _VERSION,
        [{"seed": seed, **shared, **of_target} for seed in settings.seeds],
        "steps to a gradient norm",
    )
    means = session.calculate(
        speed_up_bowl.horizons,
        _VERSION,
        [{"seed": seed, **shared, "horizons": settings.horizons} for seed in settings.seeds],
        "known horizons",
    )
    by_horizon = pd.DataFrame(means)
    rows: list[Row] = [{**row, "target": targets[row["theta"]], "allowed": settings.steps} for row in settled]
    rows += _first_horizons(by_horizon, settings.target)
    of_networks, noise, reported = speed_up_networks.measured(
        settings.plans, settings.common, settings.theta, settings.network_seeds, session
    )
    columns = ["problem", "theta", "target", "batch_size", "seed", "steps", "allowed"]
    steps = pd.DataFrame([*({"problem": BOWL, **row} for row in rows), *of_networks])[columns]
    steps["steps"] = steps.steps.astype(float).fillna(float("inf"))
    order = {MEAN: 0, CONSTANT: 1, CORRECTED: 2, HORIZON: 3}
    place = steps.problem.map({name: k for k, name in enumerate([BOWL, *settings.plans])}) * len(order)
    steps = steps.iloc[(place + steps.theta.map(order)).argsort(kind="stable")].reset_index(drop=True)
    scales = [
        {"problem": BOWL, "target": target, "noise_scale": speed_up_bowl.noise_scale(settings.bowl, target)}
        for target in dict.fromkeys(targets.values())
    ]
    scales += [{**row, "target": settings.plans[row["problem"]].target} for row in noise]
    return Found({"steps": steps, "scales": pd.DataFrame(scales), "horizons": by_horizon}, reported)


def _first_horizons(means: "pandas.DataFrame", target: float) -> "list[Row]":
    """The first T at which the mean norm is at most the target, between two T on a line in log-log."""
    rows: list[Row] = []
    for (size, seed), part in means.groupby(["batch_size", "seed"], sort=False):
        needed = critical_batch.steps_to(part.horizon, part.norm, target)
        labels = {"theta": HORIZON, "target": target, "batch_size": size, "seed": seed}
        rows.append({**labels, "steps": needed, "allowed": int(part.horizon.iloc[-1])})
    return rows


def draw(found: Found, settings: Settings) -> "Figures":
    """Steps against the batch size, and the mean gradient norm against all draws."""
    return speed_up_figures.draw(found.tables, settings, QUESTION)
