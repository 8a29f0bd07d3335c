"""Does the gradient stop falling where alpha and theta are constant, and only there?"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import checks
from experiments.papers.practical_adam import plateau_figures, plateau_runs
from experiments.session import Session
from experiments.study import Found
from optim.settings import SettingError, is_number, setting

if TYPE_CHECKING:
    from experiments.study import Figures

QUESTION = "Does the gradient norm stop falling where alpha and theta are constant, and does it fall where they decay?"
_VERSION = 1  # of the calculations
WINDOWS = 50  # of v_t, at least, in a run: five before the last decade of steps (set with results known)


@dataclass(kw_only=True)
class Settings:
    """The bowl of section 5 of the paper's page, and the sequences that are compared on it."""

    dimension: int = setting(200, minimum=1, doc="coordinates of the bowl")
    noise: float = setting(5.0, above=0.0, doc="standard deviation of one draw's gradient in each coordinate")
    start: float = setting(1.0, doc="every coordinate of x_1")
    batch_size: int = setting(1, minimum=1, doc="draws per step")
    beta: float = setting(0.9, minimum=0.0, below=1.0, doc="first-moment decay")
    lr: float = setting(1.0, above=0.0, doc="of the decaying alpha_t = lr/sqrt(t), and of lr/sqrt(T)")
    alpha: float = setting(0.01, above=0.0, doc="the constant one")
    ratio: float = setting(0.1, above=0.0, doc="alpha/sqrt(1 - theta) of the constant ones that go with theta")
    thetas: list[float] = field(metadata={"doc": "constant second-moment decays"})
    theta: float = setting(0.999, above=0.0, below=1.0, doc="the constant one beside a decaying alpha")
    steps: int = setting(200_000, minimum=100, doc="of a run")
    horizons: list[int] = field(metadata={"doc": "T of the runs with theta = 1 - 1/T, increasing"})
    seeds: list[int] = field(metadata={"doc": "replicas of the noise"})

    def __post_init__(self) -> None:
        checks.distinct(self, "thetas", "horizons", "seeds")
        for theta in self.thetas:
            if not is_number(theta) or not 0 < theta < 1:
                raise SettingError(f"thetas must hold numbers between 0 and 1, not {theta!r}")
        for name, theta in (*(("thetas", theta) for theta in self.thetas), ("theta", self.theta)):
            if 1 / (1 - theta) > self.steps / WINDOWS:
                raise SettingError(
                    f"{name}: with {theta:g} v_t is a mean over {1 / (1 - theta):,.0f} steps, and it must be full for "
                    f"long before the last decade: at most steps/{WINDOWS}, {self.steps / WINDOWS:,.0f}"
                )
        if len(self.horizons) < 2 or self.horizons != sorted(self.horizons) or self.horizons[0] < 10:
            raise SettingError(f"horizons must be two or more whole numbers from 10 that increase, not {self.horizons}")

    @property
    def bowl(self) -> dict[str, Any]:
        """The bowl as plain values."""
        return {"dimension": self.dimension, "noise": self.noise, "start": self.start}


def measure(settings: Settings, session: Session) -> Found:
    """Tables: `curves`, the gradient norm by line and window; `lines`, one row for each line and seed, with its slope
    over the last decade and its height; `horizons`, the gradient norm at the end by T.
    """
    import pandas as pd

    names = ("batch_size", "beta", "lr")
    shared = {"bowl": settings.bowl} | {name: getattr(settings, name) for name in names}
    own = {name: getattr(settings, name) for name in ("alpha", "ratio", "thetas", "theta", "steps")}
    rows = session.calculate(
        plateau_runs.curves, _VERSION, [{"seed": seed, **shared, **own} for seed in settings.seeds], "gradient norms"
    )
    known = session.calculate(
        plateau_runs.horizons,
        _VERSION,
        [{"seed": seed, **shared, "horizons": settings.horizons} for seed in settings.seeds],
        "known horizons",
    )
    whole = pd.DataFrame(rows).astype({"theta": float})
    curves = whole.drop(columns=["slope", "height"]).explode(["steps", "norm"], ignore_index=True)
    tables = {
        "curves": curves.astype({"steps": int, "norm": float}),
        "lines": whole.drop(columns=["steps", "norm"]),
        "horizons": pd.DataFrame(known),
    }
    return Found(tables)


def draw(found: Found, settings: Settings) -> "Figures":
    """The gradient norm by steps, and the height of the plateaus by theta."""
    return plateau_figures.draw(found.tables, settings, QUESTION)
