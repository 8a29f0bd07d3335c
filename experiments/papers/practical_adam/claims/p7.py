"""P7: networks train under every r, and under r = 1 at least as well as under r = 0."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.claims import NOT_TESTABLE, Claim, Judgement, Measurements
from experiments.papers.practical_adam import networks_tables
from experiments.papers.practical_adam.networks_plan import of_r
from experiments.papers.practical_adam.networks_tables import MEANS_NOTHING
from experiments.statistics import (
    UNKNOWN,
    Answer,
    Interval,
    all_of,
    decide_at_most,
    exp_interval,
    mean_interval,
)

if TYPE_CHECKING:
    import pandas

STUDY = "networks"
FALLS = 1.0  # final over first loss
AS_GOOD = 1.05  # final loss of r = 1 over that of r = 0
EXPONENTS, OTHERS = (0, 0.25, 0.5, 0.75, 1), ("AMSGrad", "RMSProp")  # of the paper's experiment on networks


def arms(measurements: Measurements) -> Sequence[Mapping[str, Any]]:
    """The paper's learning rate with every v_0, and the tuned one with the main v_0; the main arm first."""
    return [{"learning rate": rate, "v_0": v_0} for rate, v_0 in networks_tables.arms(measurements[STUDY].tables)]


def trains(measurements: Measurements, arm: Mapping[str, Any]) -> Judgement:
    """P7: on every network of the arm, for the exponents that are run there; the remarks name the others."""
    table = networks_tables.arms(measurements[STUDY].tables)[arm["learning rate"], arm["v_0"]]
    cells, remarks, ratios = [], [], []
    for network, rows in table.groupby("network", sort=False):
        falls, ratio, accuracy = _falls(rows), _last_over_first_r(rows), _accuracy(rows)
        if not falls:
            remarks.append(f"{network}: not judged, as no exponent r is run")
            continue
        worst = max(falls, key=lambda r: _or(falls[r].value, math.inf))
        answers: dict[str, Answer] = {
            "falls": all_of([decide_at_most(found, FALLS) for found in falls.values()]),
            "r = 1 as good": NOT_TESTABLE if ratio is None else decide_at_most(ratio, AS_GOOD),
        }
        doubt = _doubt(measurements, arm, str(network), answers["r = 1 as good"])
        if doubt:
            answers["r = 1 as good"] = "inconclusive"
        answer = all_of(list(answers.values()))
        said = f"{network}: final over first loss {_shown(falls[worst])} at {of_r(worst)}, the worst of {len(falls)}"
        if ratio is not None:
            ratios.append(ratio)
            said += f"; final loss of r = 1 over that of r = 0 {_shown(ratio)}"
        if accuracy is not None:
            said += f"; test accuracy {_points(accuracy)}"
        missing = _not_run(rows)
        if missing:
            said += f"; not run here, so that nothing is said about them: {', '.join(missing)}"
        remarks.append(f"{said}; {doubt}" if doubt else said)
        cell = {"network": network, "worst r": worst, "final over first": falls[worst].value}
        for name, found in (("r = 1 over r = 0", ratio), ("accuracy", accuracy)):
            shown = found or UNKNOWN
            cell |= {name: shown.value, f"{name}, low": shown.low, f"{name}, high": shown.high}
        cells.append({k: _plain(v) for k, v in cell.items()} | answers | {"seeds": falls[worst].n, "answer": answer})
    statistic = max(ratios, key=lambda ratio: _or(ratio.value, math.inf), default=UNKNOWN)
    total = all_of([answer for cell in cells for answer in (cell["falls"], cell["r = 1 as good"])])
    return Judgement(total, statistic, (*remarks, LONGER), tuple(cells))


def _doubt(measurements: Measurements, arm: Mapping[str, Any], network: str, answer: Answer) -> str:
    """Why an answer at tuned rates may change when more are tried: that of the method that lost is at the edge."""
    loser = {"holds": of_r(0), "fails": of_r(1)}.get(answer)
    if arm["learning rate"] != networks_tables.TUNED or loser is None:
        return ""
    tried = measurements[STUDY].tables["tuning"]
    return (
        f"the rate of {loser} is at the edge of those tried" if networks_tables.at_edge(tried, network, loser) else ""
    )


def _not_run(rows: "pandas.DataFrame") -> list[str]:
    """Which methods of the paper's experiment are missing."""
    run = set(rows.method)
    return [name for name in (*map(of_r, EXPONENTS), *OTHERS) if name not in run]


def _falls(rows: "pandas.DataFrame") -> dict[float, Interval]:
    """Final over first loss by r: geometric mean over seeds."""
    family = rows[rows.r.notna()]
    return {
        float(r): _of_logs(np.log(of_r.loss.to_numpy()) - np.log(of_r.first_loss.to_numpy()))
        for r, of_r in family.groupby("r")
    }


def _last_over_first_r(rows: "pandas.DataFrame") -> Interval | None:
    """Final loss of r = 1 over that of r = 0, paired by seed; None where one of them is not run."""
    one, zero = _of(rows, 1.0, "loss"), _of(rows, 0.0, "loss")
    if one.empty or zero.empty:
        return None
    with np.errstate(invalid="ignore"):  # inf - inf: both diverged
        return _of_logs(np.log(one.to_numpy()) - np.log(zero.to_numpy()))


def _accuracy(rows: "pandas.DataFrame") -> Interval | None:
    """Test accuracy of r = 1 minus that of r = 0 in percentage points, paired by seed."""
    one, zero = _of(rows, 1.0, "test_accuracy"), _of(rows, 0.0, "test_accuracy")
    return None if one.empty or zero.empty else mean_interval(100 * (one.to_numpy() - zero.to_numpy()))


def _of(rows: "pandas.DataFrame", r: float, column: str) -> "pandas.Series":
    return rows[rows.r == r].set_index("seed").sort_index()[column]


def _of_logs(logs: np.ndarray) -> Interval:
    """Of the ratio. Where one side diverged on every seed and the other on none, there is no doubt."""
    if len(logs) and np.isinf(logs).all() and len(set(logs.tolist())) == 1:
        value = float(np.exp(logs[0]))
        return Interval(value, value, value, len(logs))
    return exp_interval(mean_interval(logs.tolist()))


# Words ---------------------------------------------------------------------------------------------------------------

LONGER = (
    "without correction of bias v_t of r = 0 is theta^t v_0 plus (1 - theta^t) of a mean of squares: where g^2 is far "
    "above v_0/(1 - theta) its first steps are longer than those of r = 1, and elsewhere v_0 shortens them; at one "
    "learning rate this may decide short runs, so that other v_0 and tuned rates are arms (chosen with results at "
    "v_0 = 1e-8 known)"
)


def _shown(found: Interval) -> str:
    if math.isnan(found.value):
        return "not known, as runs diverged"
    bounded = math.isfinite(found.low) and math.isfinite(found.high)
    return f"{found.value:.3g} ({found.low:.3g} to {found.high:.3g})" if bounded else f"{found.value:.3g} (no bounds)"


def _points(found: Interval) -> str:
    said = f"{found.value:+.2f} points" if math.isfinite(found.value) else "not known"
    if math.isfinite(found.low) and math.isfinite(found.high):
        said += f" ({found.low:+.2f} to {found.high:+.2f})"
    return f"{said}, less than {MEANS_NOTHING:g} means nothing" if abs(found.value) < MEANS_NOTHING else said


def _or(value: float, other: float) -> float:
    return other if math.isnan(value) else value


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


CLAIM = Claim(
    id="P7",
    sentence="On networks the training loss falls for every r, and r = 1 trains at least as well as r = 0.",
    mark="R",
    studies=(STUDY,),
    statistic="final training loss of r = 1 over that of r = 0 (geometric mean, paired by seed; the worst network)",
    threshold="at most 1.05 [O] on every network; and final over first loss at most 1 for every r",
    judge=trains,
    arms=arms,
)
