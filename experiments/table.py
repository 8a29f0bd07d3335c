"""The store as a table in long form: one row for each run, recording point and metric."""

from typing import TYPE_CHECKING, Any

from experiments.store import JobFolder, Store

if TYPE_CHECKING:
    import pandas


def load(store: Store, only: set[str] | None = None) -> "pandas.DataFrame":
    """Columns: run, status ("finished", "diverged" or "unfinished"), the configuration (task, optimizer,
    optimizer.lr, ...), seed, step, examples, seconds (empty for runs that shared a job), metric, value.

    A diverged run's rows end where it diverged. `only` restricts the table to these runs.
    """
    import pandas as pd

    frames = [frame for folder in store.folders() for frame in _frames(folder, only)]
    if not frames:
        return pd.DataFrame(columns=["run", "status", "seed", "step", "examples", "seconds", "metric", "value"])
    return pd.concat(frames, ignore_index=True)


def _frames(folder: JobFolder, only: set[str] | None) -> "list[pandas.DataFrame]":
    import pandas as pd

    about = folder.describe()
    lanes = [(lane, run) for lane, run in enumerate(about["runs"]) if only is None or run["run"] in only]
    if not lanes:
        return []
    ended = folder.result()["runs"] if folder.finished else {}
    measured: dict[int, list[tuple[Any, ...]]] = {lane: [] for lane, _ in lanes}
    for row in folder.rows():
        for metric, values in row.get("metrics", {}).items():
            for lane, _ in lanes:
                if values[lane] is not None:
                    measured[lane].append((row["step"], row["examples"], row["seconds"], metric, values[lane]))
    frames = []
    for lane, run in lanes:
        frame = pd.DataFrame(measured[lane], columns=["step", "examples", "seconds", "metric", "value"])
        frame["seconds"] = frame["seconds"].astype(float)
        hyper = {about["hyper_prefix"] + k: v for k, v in run["hyper"].items()}
        status = ended.get(run["run"], {}).get("status", "unfinished")
        fixed = {"run": run["run"], "status": status, **about["columns"], **hyper, "seed": run["seed"]}
        for position, (name, value) in enumerate(fixed.items()):
            frame.insert(position, name, value)
        frames.append(frame)
    return frames
