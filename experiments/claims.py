"""Claims: what a paper says, as a small piece of code that reads measurements and returns a verdict with numbers."""

import importlib
import json
import math
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from experiments.statistics import UNKNOWN, Answer, Interval

NOT_TESTABLE: Answer = "not testable at this scale"
Measurements = Mapping[str, Any]
"""What the studies found, by name of the study."""


@dataclass(frozen=True)
class Judgement:
    """What a claim's code found: the answer, the statistic with its interval, and what to show beside it."""

    answer: Answer
    statistic: Interval
    remarks: tuple[str, ...] = ()
    cells: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Claim:
    """One statement of a paper.

    mark: where the statement comes from (S seen, R recalled, D derived, O ours). statistic and threshold: in words, as
    committed before the reference was run. judge: for one arm. arms: the arms of the measurements, the main one first.
    """

    id: str
    sentence: str
    mark: str
    studies: tuple[str, ...]
    statistic: str
    threshold: str
    judge: Callable[[Measurements, Mapping[str, Any]], Judgement]
    arms: Callable[[Measurements], Sequence[Mapping[str, Any]]]


def collect(folders: Iterable[str], package: str) -> tuple[Claim, ...]:
    """The CLAIM of every module in a package of claims, A2 before A10."""
    names = [m.name for m in pkgutil.iter_modules(list(folders))]
    found: list[Claim] = [importlib.import_module(f"{package}.{name}").CLAIM for name in names]
    return tuple(sorted(found, key=lambda claim: (len(claim.id), claim.id)))


@dataclass(frozen=True)
class Verdict:
    """A claim, judged. The verdict is that of the main arm; `arms` has the answer of every defensible choice."""

    claim: str
    sentence: str
    mark: str
    statistic: str
    threshold: str
    answer: Answer
    value: float | None
    low: float | None
    high: float | None
    n: int
    remarks: tuple[str, ...]
    arms: tuple[dict[str, Any], ...]
    deciding: str
    cells: tuple[dict[str, Any], ...] = field(repr=False)

    @property
    def share(self) -> tuple[int, int]:
        """In how many arms the claim holds, of how many in which it could be tested."""
        tested = [arm for arm in self.arms if arm["answer"] != NOT_TESTABLE]
        return sum(arm["answer"] == "holds" for arm in tested), len(tested)


def judge(claim: Claim, measurements: Measurements) -> Verdict:
    """Judge a claim in every arm."""
    arms = list(claim.arms(measurements))
    found = [claim.judge(measurements, arm) for arm in arms]
    main = found[0] if found else Judgement(NOT_TESTABLE, UNKNOWN, ("no runs",))
    shown = tuple(
        {**arm, "answer": j.answer, **{k: _plain(v) for k, v in asdict(j.statistic).items()}}
        for arm, j in zip(arms, found, strict=True)
    )
    statistic = {k: _plain(v) for k, v in asdict(main.statistic).items() if k != "n"}
    return Verdict(
        claim=claim.id,
        sentence=claim.sentence,
        mark=claim.mark,
        statistic=claim.statistic,
        threshold=claim.threshold,
        answer=main.answer,
        **statistic,
        n=main.statistic.n,
        remarks=main.remarks,
        arms=shown,
        deciding=deciding_choice(arms, [j.answer for j in found]),
        cells=main.cells,
    )


def deciding_choice(arms: Sequence[Mapping[str, Any]], answers: Sequence[Answer]) -> str:
    """Which choice the answer hangs on: the one whose settings, each on its own, disagree least about it.

    In words; with arms that all agree, nothing decides.
    """
    if len(set(answers)) <= 1:
        return "none: every arm gives the same answer"
    purity = {}
    for choice in arms[0]:
        by_value: dict[Any, list[Answer]] = {}
        for arm, answer in zip(arms, answers, strict=True):
            by_value.setdefault(arm[choice], []).append(answer)
        if len(by_value) > 1:
            purity[choice] = sum(max(map(group.count, group)) for group in by_value.values())
    best = max(purity.values())
    if best == max(map(answers.count, answers)):
        return "no single choice"
    return " or ".join(choice for choice, value in purity.items() if value == best)


def write(verdicts: Sequence[Verdict], path: Path, provenance: Mapping[str, Any]) -> None:
    """Write verdicts as JSON, with their provenance."""
    content = {"provenance": dict(provenance), "verdicts": [_writable(asdict(v)) for v in verdicts]}
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def compare(verdicts: Sequence[Verdict], reference: Path) -> str:
    """One line: how many verdicts match the committed reference, and which differ."""
    if not reference.exists():
        return f"there is no committed reference to compare {len(verdicts)} verdicts with"
    kept = {v["claim"]: v for v in json.loads(reference.read_text())["verdicts"]}
    here = [v for v in verdicts if v.claim in kept]
    differing = [v for v in here if v.answer != kept[v.claim]["answer"]]
    line = f"{len(here) - len(differing)} of {len(here)} verdicts match the reference"
    for v in differing:
        old = kept[v.claim]
        there = f"{old['answer']} there ({_number(old['value'])})"
        line += f"; {v.claim} differs: {v.answer} here ({_number(v.value)}), {there}"
    fresh = [v.claim for v in verdicts if v.claim not in kept]
    return line + (f"; not in the reference: {', '.join(fresh)}" if fresh else "")


def _writable(value: Any) -> Any:
    """JSON has no infinite numbers: they become null."""
    if isinstance(value, Mapping):
        return {key: _writable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    return _plain(value) if isinstance(value, float) else value


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: float | None) -> str:
    return "no value" if value is None else f"{value:.3g}"
