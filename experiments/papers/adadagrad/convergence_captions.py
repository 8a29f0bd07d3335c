"""Captions of the figures of the study `convergence`."""

from typing import TYPE_CHECKING, Any

from experiments.papers.adadagrad.convergence_runs import COORDINATES, EXACT, NORM

if TYPE_CHECKING:
    import pandas

_NAMES = {NORM: "AdaGrad-Norm", COORDINATES: "AdaGrad"}


def rates_caption(runs: "pandas.DataFrame", alpha: float, settings: Any, question: str) -> str:
    """Of the mean gradient by steps and by draws."""
    tested = runs[(runs.alpha == alpha) & (runs.scheme == EXACT)]
    slopes, sampled = [], []
    for method, own in tested.groupby("method", sort=False):
        by_eta = ", ".join(f"{part.slope.mean():.2f}" for _, part in own.groupby("eta", sort=False))
        slopes.append(f"{_NAMES[method]} {by_eta}")
        sampled.append(f"{_NAMES[method]} {own.sampled.median():.0f}")
    return (
        f"{question} A_K, the mean of ||grad F||^2 over the first K points, against steps (left) and draws (right), at "
        f"alpha = {alpha:g}. {_problem(settings)} Thin: {len(settings.seeds)} seeds; thick: their geometric mean. Mean "
        f"slope over [K/20, K] under the exact test for eta = {_etas(settings)}: {'; '.join(slopes)}. Dashed grey: 1/K "
        "and 1/sqrt(K); dashed band: 1.5 (1 + eta^2) times the full gradient's line, from the smallest eta to the "
        "largest; each exact test's line must end below its own. The problem is locally strongly convex: the demand "
        f"soon passes 1e12 draws (median number of steps with a batch: {', '.join(sampled)}), the gradient is exact "
        "from there, and the slope -1 is trivial; the band is the test that can fail. Per example the tests have no "
        "better order than a constant batch size: where ||grad F||^2 falls like 1/k the demand grows like k. An exact "
        "gradient in place of a batch counts as 1e12 draws, a full gradient as n: draws are those of a stream, which "
        "cannot stop at n. Set-up and numbers are ours."
    )


def step_size_caption(runs: "pandas.DataFrame", settings: Any) -> str:
    """Of slopes and totals by step size."""
    alphas = sorted(runs.alpha.unique())
    ends = "; ".join(
        f"{_NAMES[method]} {own.slope.min():.2f} to {own.slope.max():.2f} (over [K/4, K]: {own.late.min():.2f} to "
        f"{own.late.max():.2f})"
        for method, own in runs[runs.scheme == EXACT].groupby("method", sort=False)
    )
    return (
        f"Is the rate the same for any step size? alpha from {alphas[0]:g} to {alphas[-1]:g}, K = {settings.steps:,}. "
        "Above: slope of log A_K on log K over [K/20, K] under the exact test, for the full gradient and for a "
        "constant batch size; grey: the band [-1.1, -0.9] that is wanted, dashed: -1/2. Below: K A_K over the full "
        "gradient's at the same alpha and seed; dashed: 1.5 (1 + eta^2), the most that is wanted for each eta. "
        f"Markers: mean over {len(settings.seeds)} seeds (dashes) with its 95% interval, geometric below. Slopes of "
        f"single runs under the exact test: {ends}. At large alpha the first steps end on plateaus, and the slope "
        "settles only later. The rates are per step: per example they are of the order of a constant batch size. "
        f"{_problem(settings)}"
    )


def inequality_caption(settings: Any) -> str:
    """Of the Monte Carlo and of the steps at which the inequality held."""
    return (
        "Does the test keep what the theory uses? Above: E||ghat||^2/||g||^2 at the batch size that the exact test "
        "asks for, at points of the full-gradient run at alpha = 1; by coordinate, that of the coordinate that sets "
        f"the batch size. Each marker is one of {len(settings.seeds)} seeds, its bar the 95% interval over "
        f"{settings.draws:,} batches; dashed: 1 + eta^2, which its expectation cannot exceed (a demand above 1e12 is "
        "the exact gradient, at 1). Below: under the *sample* test, the share of the steps with a batch at which the "
        "*population* inequality really held; mean over seeds (dashes). The sample test's demand is met one step late "
        f"and its size never falls. {_problem(settings)}"
    )


def _etas(settings: Any) -> str:
    return ", ".join(f"{eta:g}" for eta in settings.eta)


def _problem(settings: Any) -> str:
    return (
        f"Mean of (sigmoid(x.w) - y)^2 over n = {settings.examples} Gaussian rows, d = {settings.dimension}, "
        f"{100 * settings.flipped:g}% of the labels flipped, float64, batches with replacement; each seed is a problem "
        "and its draws."
    )
