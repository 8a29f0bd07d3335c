"""The tables of the study `networks`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import curves
from experiments.papers.practical_adam.networks_plan import Point
from experiments.session import Session
from experiments.spec import Run

if TYPE_CHECKING:
    import pandas

METRICS = ("loss", "test_accuracy")
MEANS_NOTHING = 1.0  # percentage points of test accuracy
PAPERS, TUNED = "the paper's", "tuned"
KEYS = ["network", "method"]
_CURVE_POINTS = 26  # kept of a curve, its ends among them


@dataclass(frozen=True, eq=False)
class Reported:
    """A run on a fresh seed."""

    point: Point
    run: Run


def runs(reported: Sequence[Reported], session: Session) -> "pandas.DataFrame":
    """One row for each run. rate: of its learning rate to the paper's. v_0: where its second moment starts. first_loss,
    loss: on the training images, at the start and at the end; test_accuracy: at the end, a share. After a divergence,
    inf and NaN.
    """
    import pandas as pd

    found = curves.read(session.store, [one.run.id for one in reported], METRICS)
    rows = []
    for one in reported:
        curve = found[one.run.id]
        loss, accuracy = (float(curve.values[name][-1]) for name in METRICS)
        ends = {
            "first_loss": float(curve.values["loss"][0]),
            "loss": math.inf if math.isnan(loss) else loss,
            "test_accuracy": accuracy,
        }
        rows.append({**_labels(one), **ends, "run": one.run.id})
    return pd.DataFrame(rows)


def of_curves(reported: Sequence[Reported], session: Session) -> "pandas.DataFrame":
    """Curves of the same runs against passes over the data, thinned to at most 26 points, up to a divergence."""
    import pandas as pd

    found = curves.read(session.store, [one.run.id for one in reported], METRICS)
    frames = []
    for one in reported:
        curve = found[one.run.id]
        last = len(curve.steps) - 1
        kept = np.unique(np.linspace(0, last, min(_CURVE_POINTS, last + 1)).round().astype(int))
        columns = {"passes": curve.examples[kept] / one.point.examples}
        columns |= {name: curve.values[name][kept] for name in METRICS}
        frames.append(pd.DataFrame({**_labels(one), **columns}).dropna(subset=list(METRICS)))
    return pd.concat(frames, ignore_index=True)


def _labels(one: Reported) -> dict[str, Any]:
    method = one.point.method
    r = math.nan if method.r is None else method.r
    return {**one.point.labels, "r": r, "lr": one.run.hyper["lr"], "seed": one.run.seed}


def tuning(
    points: Sequence[Point], seeds: Sequence[int], finals: Mapping[str, Mapping[str, float | None]]
) -> "pandas.DataFrame":
    """One row for each run on a tuning seed. loss: at the end, inf where it diverged. picked: at this rate the mean of
    the loss over the seeds is the lowest of those of the method on this network.
    """
    import pandas as pd

    rows = []
    for point in points:
        for run in point.runs(seeds, ends=True):
            loss = finals[run.id].get("loss")
            rows.append({**point.labels, "seed": run.seed, "loss": math.inf if loss is None else loss, "run": run.id})
    table = pd.DataFrame(rows)
    means = table.groupby([*KEYS, "rate"], sort=False).loss.mean().reset_index()
    best = means.loc[means.groupby(KEYS, sort=False).loss.idxmin()].assign(picked=True)
    joined = table.merge(best[[*KEYS, "rate", "picked"]], on=[*KEYS, "rate"], how="left")
    return joined.assign(picked=joined.picked.notna())


def arms(tables: Mapping[str, "pandas.DataFrame"]) -> dict[tuple[str, str], "pandas.DataFrame"]:
    """The rows of `runs` by choice of the learning rate and v_0: the paper's rate with each v_0, the main one first,
    and where several rates are tried the one that tuning picked for each method, with the main v_0.
    """
    table = tables["runs"]
    if table.empty:
        return {}
    papers = table[table.rate == 1]
    found = {(PAPERS, f"{v_0:g}"): part for v_0, part in papers.groupby("v_0", sort=False)}
    if "tuning" in tables:
        found[TUNED, f"{main_v_0(table):g}"] = tuned(table, tables["tuning"])
    return found


def main_v_0(table: "pandas.DataFrame") -> float:
    """That of the first row."""
    return float(table.v_0.iloc[0])


def tuned(table: "pandas.DataFrame", tried: "pandas.DataFrame") -> "pandas.DataFrame":
    """Those rows of a table at the picked rate of their network and method, from the main v_0."""
    picked = tried[tried.picked].drop_duplicates(KEYS)[[*KEYS, "rate"]]
    return table[table.v_0 == main_v_0(table)].merge(picked, on=[*KEYS, "rate"])


def at_edge(tried: "pandas.DataFrame", network: str, method: str) -> bool:
    """Whether the picked rate is the lowest or the highest that was tried there."""
    own = tried[(tried.network == network) & (tried.method == method)]
    return bool(own[own.picked].rate.isin([own.rate.min(), own.rate.max()]).any())
