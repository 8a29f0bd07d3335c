"""The (r, s) plane of Generic Adam with alpha_t like t^-s and 1 - theta_t like t^-r: where which bound holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.theory.schedule_conditions import limit

_RIGHT, _TOP = 1.15, 2.0
_TOP_MEASURED = 1.2  # decays by `towards_one` have r of at most 1
_GREEN, _DEEP, _DARK = "#009E73", "#00694D", "#333333"


@dataclass(frozen=True)
class Outcome:
    """What came of a run at (r, s): where in [-1, 1] it ended, and whether an end near -1 was predicted."""

    r: float
    s: float
    end: float
    predicted: bool


def draw_plane(
    axis: Any, measured: Sequence[Outcome] | None = None, points: Sequence[tuple[float, float]] | None = None
) -> Any:
    """Draw the region 0 < r <= 2s < 2, where the sufficient condition of arXiv 2101.05471 holds (section 2 of its
    page), shaded by the exponent at which the bound falls; the line s + r/2 = 1 with a factor log T; the best point.

    measured: outcomes on top of it, coloured by their ends, ringed where -1 was predicted; returns their collection,
    for a colour bar. points: (r, s), marked by crosses.
    """
    top = _TOP_MEASURED if measured else _TOP
    s, r = np.meshgrid(np.linspace(0, 1, 401), np.linspace(0, _TOP, 801))
    exponent = np.where(r <= 2 * s, np.vectorize(limit)(s, r), np.nan)
    shades = axis.contourf(s, r, exponent, levels=np.linspace(0, 0.5, 6), cmap="Greens", vmin=0.0, vmax=0.9, zorder=0)
    shades.set_edgecolor("face")  # no hairlines between them in a PDF
    axis.plot([0, 1], [0, 2], color=_DARK, linewidth=1.0)
    axis.plot([1, 1], [0, 2], color=_DARK, linewidth=1.0, linestyle=":")
    axis.plot([1, 0.5], [0, 1], color=_GREEN, linewidth=1.4, linestyle="--")
    axis.plot(0.5, 1, marker="*", markersize=9, color=_GREEN, markeredgecolor="white", markeredgewidth=0.5, zorder=4)
    axis.set(xlim=(-0.05, _RIGHT), ylim=(-0.06 * top, top), xlabel=r"$s$:  $\alpha_t\propto t^{-s}$")
    axis.set_ylabel(r"$r$:  $1-\theta_t\propto t^{-r}$")
    axis.set_yticks(np.arange(0, top + 0.01, 0.5 if top == _TOP else 0.25))
    axis.grid(visible=False)
    _label(axis, top)
    for r_at, s_at in points or ():
        axis.plot(s_at, r_at, marker="x", markersize=7, markeredgewidth=1.8, color="#D55E00", zorder=6)
    if not measured:
        return None
    return axis.scatter(
        [m.s for m in measured],
        [m.r for m in measured],
        c=[m.end for m in measured],
        cmap="RdBu_r",
        vmin=-1,
        vmax=1,
        s=26,
        edgecolors=["black" if m.predicted else "#B0B0B0" for m in measured],
        linewidths=[1.3 if m.predicted else 0.5 for m in measured],
        zorder=5,
        clip_on=False,
    )


def _label(axis: Any, top: float) -> None:
    """What holds where, in words, and the exponents at the edges of the shades."""
    whole = top == _TOP
    words = {"fontsize": 6.5, "color": _DARK, "ha": "center", "va": "center", "zorder": 3}
    for edge in (0.1, 0.2, 0.3, 0.4):
        axis.text(edge + 0.05, 2 * edge, f"{edge:g}", **{**words, "fontsize": 5.5})
    axis.text(0.5, 0.3, r"$T^{-r/2}$", **words)
    axis.text(*((0.87, 0.88) if whole else (0.815, 0.9375)), r"$T^{-(1-s)}$", **words)  # between a grid of eighths
    along = {"rotation": -63.4, "rotation_mode": "anchor", "transform_rotates_text": True}
    at = (0.81, 0.47) if whole else (0.93, 0.22)
    axis.text(*at, r"$T^{-(1-s)}\log T$", **{**words, "color": _DEEP}, **along)
    axis.annotate(
        r"best: $\log T/\sqrt{T}$",
        (0.5, 1.0),
        xytext=(0.06, 1.25) if whole else (0.06, 1.13),
        **{**words, "ha": "left", "color": _DEEP},
        arrowprops={"arrowstyle": "-", "color": _GREEN, "linewidth": 0.7, "shrinkB": 4},
    )
    axis.text(0.02, 0.6875, r"$r>2s$: $\chi_t$ grows", **{**words, "ha": "left"})
    axis.text(1.075, 0.5 * top, r"$s\geq 1$: $T\alpha_T$ is bounded", **words, rotation=90)
    axis.text(0.5, -0.033 * top, "$r=0$: a plateau", **words)
