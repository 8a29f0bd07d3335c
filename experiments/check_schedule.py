"""Whether alpha_t, beta_t and theta_t satisfy conditions under which Generic Adam converges, up to a horizon.

    python -m experiments.check_schedule [alpha=WHAT] [beta=WHAT] [theta=WHAT] [horizon=T] [json=true] [figure=FILE.pdf]

WHAT is one of
    a sequence of optim/sequences, with its settings    alpha=power alpha.s=0.5
    a number                                            beta=0.9
    a file with one number a line, for t = 1, 2, ...    theta=theta.txt
    a scheduler of torch, alpha.lr being its base rate  alpha=torch.optim.lr_scheduler.StepLR alpha.step_size=30

The defaults are those of generic_adam: alpha=power alpha.s=0.5 beta=constant beta.at=0.9 theta=towards_one theta.r=1.
The default horizon is the length of the shortest file or, without files, 1000000 steps.

Printed: for the sufficient condition of arXiv 2101.05471, for AdaFom's and for Defossez et al.'s, each item with its
verdict, the exponent in the limit where the formulas give it (exact), the one found near the horizon (fitted), and the
numbers behind it; then one sentence each. A verdict rests on numbers up to the horizon alone. json=true prints all of
it as JSON; figure= draws where alpha_t like t^-s and 1 - theta_t like t^-r stand in the (r, s) plane.

    python -m experiments.check_schedule theta.r=0.75 theta.c=0.01 horizon=1e7 figure=plane.pdf
    python -m experiments.check_schedule alpha=constant alpha.at=0.001 theta=0.999
"""

import json
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments import figures
from experiments.run import guarded
from experiments.schedule_plane import draw_plane
from experiments.schedule_words import read_schedule, value_of
from experiments.theory.schedule_conditions import LONGEST, SHORTEST, check
from experiments.theory.schedule_numbers import Schedule, exponents
from experiments.theory.schedule_report import Item, Report
from optim import settings
from optim.sequence import Sequence as OneSequence
from optim.settings import SettingError, nearest, setting

_NAMES = ("alpha", "beta", "theta")
_HORIZON = 1_000_000
_BETA = 0.9


@dataclass(frozen=True, kw_only=True)
class Options:
    """The words of the command line but for the settings of sequences."""

    alpha: str = setting("power", doc="alpha_t")
    beta: str = setting("constant", doc="beta_t")
    theta: str = setting("towards_one", doc="theta_t")
    horizon: int | None = setting(None, minimum=SHORTEST, maximum=LONGEST, doc="number of steps T")
    json: bool = setting(False, doc="print JSON")
    figure: str | None = setting(None, doc="file of a figure, .pdf or .png")


def read(words: Sequence[str]) -> tuple[Options, dict[str, Schedule]]:
    """The options and the three schedules. Raises SettingError for words that are none, and OSError for a file that
    cannot be read.
    """
    chosen: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {name: {} for name in _NAMES}
    seen: set[str] = set()
    for word in words:
        key, equals, text = word.partition("=")
        name, dot, own = key.partition(".")
        if not equals:
            raise SettingError(f"'{word}' is not an option: write key=value with one of {settings.names(Options)}")
        if key in seen:
            raise SettingError(f"{key} is given twice: leave one out")
        seen.add(key)
        if dot and name in _NAMES:
            inner[name][own] = value_of(text, key)
        elif key in settings.names(Options):
            chosen[key] = value_of(text, key) if key in ("horizon", "json") else text
            if chosen[key] is None:
                raise SettingError(f"{word} has no value: give one, or leave {key}= out")
        else:
            raise SettingError(f"there is no option '{key}': {nearest(key, settings.names(Options))}")
    if "beta" not in chosen:
        inner["beta"].setdefault("at", _BETA)
    options = settings.build(Options, chosen, "check_schedule")
    if options.figure is not None:
        _require_place(Path(options.figure))
    return options, {name: read_schedule(name, getattr(options, name), inner[name]) for name in _NAMES}


def _require_place(path: Path) -> None:
    if path.suffix not in (".pdf", ".png"):
        raise SettingError(f"figure={path} must end in .pdf or .png")
    if not path.parent.is_dir():
        raise SettingError(f"figure={path} is in a folder that does not exist: make {path.parent} first")


def run(words: Sequence[str]) -> None:
    """Do it."""
    options, schedules = read(words)
    lengths = [len(schedule) for schedule in schedules.values() if isinstance(schedule, list)]
    horizon = options.horizon or min(lengths, default=_HORIZON)
    with tqdm(total=horizon, delay=3.0, leave=False, unit=" steps", disable=not sys.stderr.isatty()) as bar:
        report = check(**schedules, horizon=horizon, told=bar.update)
    if options.json:
        print(json.dumps(report.plain(), indent=1, allow_nan=False))
    else:
        print(f"{_described(options, schedules)}; horizon T = {horizon}\n")
        print("\n".join(_lines(report)))
    if options.figure is not None:
        _draw(Path(options.figure), report, schedules)
        if not options.json:
            print(f"\nfigure: {options.figure}, with its caption beside it")


def _described(options: Options, schedules: Mapping[str, Schedule]) -> str:
    """The schedules, as the command line calls them, with all their settings."""
    parts = []
    for name in _NAMES:
        own = schedules[name]
        values = settings.names(own) if isinstance(own, OneSequence) else []
        told = [f"{key} = {settings.short(getattr(own, key))}" for key in values]
        parts.append(f"{name} = {getattr(options, name)}" + (f" ({', '.join(told)})" if told else ""))
    return "; ".join(parts)


def _lines(report: Report) -> Iterator[str]:
    """The table, with a line more for items that fail or need a remark, and a sentence for each set of conditions."""
    wide = max(len(item.name) for conditions in report.conditions for item in conditions.items)
    for conditions in report.conditions:
        yield f"{conditions.name}: {conditions.source}"
        yield f"  {'':{wide}}        {'exact':>7} {'fitted':>7}"
        for item in conditions.items:
            shown = f"{_exponent(item.exact)} {_exponent(item.fitted)}"
            yield f"  {item.name:{wide}}  {'pass' if item.passed else 'FAIL'}  {shown}  {_numbers(item)}".rstrip()
            if said := "; ".join(filter(None, ("" if item.passed else item.sentence, item.remark))):
                yield f"      {said}"
        yield ""
    for conditions in report.conditions:
        yield f"{conditions.sentence}."


def _exponent(number: float | None) -> str:
    return f"{'-' if number is None else f'{number:.3f}'.replace('-0.000', '0.000'):>7}"


def _numbers(item: Item) -> str:
    found = [f"{key} = {'infinite' if n is None else f'{n:.6g}'}" for key, n in item.numbers.items()]
    return ", ".join(found + ([f"first at step {item.first_violation}"] if item.first_violation else []))


def _draw(path: Path, report: Report, schedules: Mapping[str, Schedule]) -> None:
    """The plane with the point that was asked for, by its exact exponents or, where they are not known, fitted ones."""
    import matplotlib.pyplot as plt

    figures.use()
    exact = exponents(schedules["alpha"])[0], exponents(schedules["theta"])[1]
    s, r = (known if known is not None else fitted for known, fitted in zip(exact, _fitted(report), strict=True))
    figure, axis = plt.subplots(figsize=figures.size(1, 0.95), layout="constrained")
    draw_plane(axis, points=[(r, s)] if r is not None and s is not None else [])
    where = "no power of t describes these schedules"
    if r is not None and s is not None:
        how = "exact" if None not in exact else f"fitted at T = {report.horizon}"
        where = f"r = {r:.3g}, s = {s:.3g} ({how}), the cross unless that is outside"
    figures.save(
        figure,
        "Which exponents of alpha_t and of 1 - theta_t satisfy the sufficient condition of arXiv 2101.05471? Shaded: "
        "0 < r <= 2s < 2, where it holds; the darker, the faster the bound falls (contours at steps of 0.1 of its "
        f"exponent, 1/2 at the star). Dashed: s + r/2 = 1, with a factor log T. Asked for: {where}.",
        path,  # whose last suffix each of the files replaces
    )


def _fitted(report: Report) -> tuple[float | None, float | None]:
    return report.alpha_exponent, report.theta_exponent


def main(words: list[str] | None = None) -> int:
    """The command line."""
    words = sys.argv[1:] if words is None else words
    if "--help" in words or "-h" in words:
        print(__doc__)
        return 0
    return guarded(lambda: run(words))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    sys.exit(main())
