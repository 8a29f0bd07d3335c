"""The store as a table in long form: one row for each run, recording point and metric."""

from typing import TYPE_CHECKING, Any

from experiments.spec import hyper_column
from experiments.store import JobFolder, Store

if TYPE_CHECKING:
    import pandas


def load(store: Store, only: set[str] | None = None) -> "pandas.DataFrame":
    """Columns: run, status ("finished", "diverged" or "unfinished"), the configuration (task, optimizer,
    optimizer.lr, ...), seed, step, examples, seconds (empty for runs that shared a job), metric, value.

    A diverged run's rows end where it diverged. `only` restricts the table to these runs.
    """
    import pandas as pd

    frames, seen = [], set[str]()
    for folder in sorted(store.folders(), key=lambda f: not f.finished):  # an abandoned job may share runs with others
        about = folder.describe()
        wanted = {run["run"] for run in about["runs"]} - seen
        wanted = wanted if only is None else wanted & only
        seen |= wanted
        if wanted:
            frames.append(_frame(folder, about, wanted))
    if not frames:
        return pd.DataFrame(columns=["run", "status", "seed", "step", "examples", "seconds", "metric", "value"])
    return pd.concat(frames, ignore_index=True)


def _frame(folder: JobFolder, about: dict[str, Any], wanted: set[str]) -> "pandas.DataFrame":
    """The rows of one job, of the runs that are wanted."""
    import pandas as pd

    runs = about["runs"]
    lanes = [lane for lane, run in enumerate(runs) if run["run"] in wanted]
    ended = folder.result()["runs"] if folder.finished else {}
    measured = [
        (lane, row["step"], row["examples"], row["seconds"], metric, values[lane])
        for row in folder.rows()
        for metric, values in row.get("metrics", {}).items()
        for lane in lanes
        if values[lane] is not None
    ]
    rows = pd.DataFrame(measured, columns=["lane", "step", "examples", "seconds", "metric", "value"])
    rows["seconds"] = rows["seconds"].astype(float)
    lane = rows.pop("lane").to_numpy(dtype=int)
    prefix = about["hyper_prefix"]
    own = pd.DataFrame({hyper_column(prefix, name): [run["hyper"][name] for run in runs] for name in runs[0]["hyper"]})
    own.insert(0, "run", [run["run"] for run in runs])
    own.insert(1, "status", [ended.get(run["run"], {}).get("status", "unfinished") for run in runs])
    own["seed"] = [run["seed"] for run in runs]
    shared = {k: str(v) if isinstance(v, list | dict) else v for k, v in about["columns"].items()}
    fixed = pd.DataFrame(shared, index=rows.index)
    parts = [own.iloc[lane].reset_index(drop=True), fixed, rows]
    joined = pd.concat(parts, axis=1)
    return joined.loc[:, ~joined.columns.duplicated()]
