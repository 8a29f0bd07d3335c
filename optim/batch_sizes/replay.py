"""The batch sizes of a run that was recorded."""

import bisect
import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optim.batch_size import BatchSizeRule, Context
from optim.settings import SettingError, setting, short

RESULTS = Path(__file__).resolve().parents[2] / "results"


@dataclass(frozen=True, kw_only=True)
class Replay(BatchSizeRule):
    """The sizes of another run at the same steps, on the batches that this run draws itself and without any test: what
    is left of an adaptive rule without its feedback (arXiv 2402.11215, section 4 of our page). After the last recorded
    change the size stays.

    `path` is the folder of a finished job, whose rows {"step": t, "batch_size": b, "note": ...} tell every change, or a
    JSON file with a list of [step, size], of which the first step is 1. The sizes, not the path, are in the identity of
    a run.
    """

    path: str = setting("", doc="folder of a job, or JSON file with a list of [step, size]; counted from results/")

    @functools.cached_property
    def changes(self) -> tuple[tuple[int, int], ...]:
        """Each step at which the size changes, from step 1, with the size.

        Raises SettingError if it cannot be read, or is not a sequence of sizes.
        """
        if not self.path:
            raise SettingError(
                "batch_size.path is empty: give the folder of a finished job, or a JSON file with a list of "
                "[step, size]"
            )
        path = (RESULTS / Path(self.path).expanduser()).resolve()
        try:
            pairs = list(_of_job(path)) if path.is_dir() else json.loads(path.read_text(encoding="utf-8"))
        except OSError as problem:
            raise SettingError(f"batch_size.path={self.path} cannot be read ({problem.strerror}): {path}") from None
        except SettingError:
            raise
        except ValueError:  # of JSON, or of its encoding
            raise SettingError(f"batch_size.path={self.path} is not JSON: give a list of [step, size]") from None
        return _checked(pairs, self.path)

    def content(self) -> dict[str, str]:
        return {"path": hashlib.sha256(json.dumps(self.changes).encode()).hexdigest()}

    def next(self, state: dict[str, Any], context: Context) -> tuple[int, dict[str, Any], str | None]:
        return self.changes[bisect.bisect(self.changes, context.step, key=lambda change: change[0]) - 1][1], state, None

    def refuse(self, data_size: int | None, replacement: bool) -> None:
        largest = max(size for _, size in self.changes)
        if data_size is not None and not replacement and largest > data_size:
            raise SettingError(
                f"batch_size.path={self.path} has a batch of {largest}, larger than the data set ({data_size} "
                "examples): replay it on as many, or use sampling=replacement"
            )


def _of_job(folder: Path) -> Iterator[list[Any]]:
    """The changes that a job has told."""
    if not (folder / "result.json").exists():
        raise SettingError(f"batch_size.path: {folder} is not the folder of a finished job (it has no result.json)")
    with (folder / "metrics.jsonl").open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            if isinstance(row, dict) and "batch_size" in row:
                yield [row.get("step"), row["batch_size"]]


def _checked(pairs: Any, path: str) -> tuple[tuple[int, int], ...]:
    """Pairs of steps and sizes, without those that change nothing."""
    if not isinstance(pairs, list) or not pairs:
        raise SettingError(f"batch_size.path={path} tells no batch sizes: give a list of [step, size]")
    changes: list[tuple[int, int]] = []
    last = 0
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and all(type(x) is int and x >= 1 for x in pair)):
            raise SettingError(f"batch_size.path={path} has {short(pair)} where [step, size] should be, both above 0")
        step, size = pair
        if step <= last or (not last and step > 1):
            raise SettingError(f"batch_size.path={path} has step {step} after {last}: steps begin at 1 and increase")
        if not changes or changes[-1][1] != size:
            changes.append((step, size))
        last = step
    return tuple(changes)
