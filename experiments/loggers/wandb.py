"""Weights & Biases: offline by default, so that neither an account nor a network is needed."""

import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import files, locks, sweeps
from experiments.loggers import _tables
from experiments.loggers._runs import JobLog, client, name, one_sentence
from experiments.spec import hyper_column
from experiments.store import JobFolder, Store
from experiments.sweeps import Sweep
from optim.settings import SettingError, setting

if TYPE_CHECKING:
    import wandb

_FLUSH = 2.0  # seconds until a viewer of a running offline run sees a row


@dataclass(frozen=True, kw_only=True)
class WandB:
    """Runs as W&B runs, in <folder>/wandb, with a ledger (ledger.json) of those that are complete.

    Each has the identity of the run as its id, its configuration, the sweep it was first in as its group, and rows
    by step with `step`, `examples` and (where it ran alone) `seconds`, of which the axis of its budget is the axis of
    its curves. `wandb sync --yes <folder>/wandb/offline-run-*` publishes offline runs.
    """

    mode: str = setting("offline", choices=("offline", "online"), doc="offline: files only; online: your account")
    project: str = setting("anisotropy", doc="W&B project")
    entity: str | None = setting(None, doc="W&B user or team (default: the account's own)")
    folder: str | None = setting(None, doc="folder in which wandb/ is made (default: the store)")

    def __post_init__(self) -> None:
        if not 0 < len(self.project) <= 128 or re.search(r"[/\\#?%:]", self.project):
            raise SettingError(
                f"project={self.project} is no name of a W&B project: 1 to 128 characters, none of /\\#?%:"
            )

    def place(self, store: Store) -> Path:
        """The folder of the W&B runs."""
        return (Path(self.folder).expanduser().resolve() if self.folder else store.folder) / "wandb"

    def where(self, store: Store) -> str:
        """Where the runs are, for who wants to look at them."""
        if self.mode == "online":
            return f"W&B runs: project {self.project} of {self.entity or 'your account'}"
        viewer, place = Path(sys.executable).with_name("wandb"), self.place(store)
        publish = f"{viewer} sync --yes {place}/offline-run-*"
        return f"W&B runs: {place} (`{viewer} leet {place}` shows them, `{publish}` publishes them)"

    def require(self, store: Store) -> None:
        """Raise SettingError if nothing can be written, wandb is missing, or mode=online and nobody is logged in."""
        if importlib.util.find_spec("wandb") is None:
            raise SettingError("logger=wandb needs the package wandb, which is not installed: `make setup` installs it")
        place = self.place(store)
        try:
            place.mkdir(parents=True, exist_ok=True)
            probe = place / f".writable.{os.getpid()}"
            probe.write_text("")
            probe.unlink()
        except OSError as problem:
            words = (
                f"the W&B folder {place} cannot be written ({problem.strerror}): choose another folder (logger.folder=)"
            )
            raise SettingError(words) from None
        if self.mode == "online":
            self._require_account()

    def _require_account(self) -> None:
        package = client()
        remedy = (
            "log in with `wandb login`, or use mode=offline (logger.mode=offline) and publish later with `wandb sync`"
        )
        with one_sentence(remedy):
            package.setup(package.Settings(mode="online", silent=True))
            logged_in = package.login(prompt=False, verify=True)
        if not logged_in:
            raise SettingError(f"logger.mode=online needs a W&B account and nobody is logged in: {remedy}")

    def shown(self, store: Store) -> set[str]:
        """Runs that the ledger calls complete; deleted folders do not count."""
        return {key for key, entry in self._ledger(store).items() if self._is_here(store, entry)}

    def open(self, store: Store, folder: JobFolder, only: Collection[str] | None = None) -> "JobLog":
        """Begin to write the runs of a job (or `only` these) that are not complete yet."""
        shown, groups = self.shown(store), sweeps.groups(store)
        about, origin = folder.describe(), folder.provenance()
        log = JobLog(about, lambda runs: self.done(store, runs))
        notes = f"commit {origin['commit']}, code {origin['code']}"
        for lane, run in enumerate(about["runs"]):
            if run["run"] not in shown and (only is None or run["run"] in only):
                config = {hyper_column(about["hyper_prefix"], key): value for key, value in run["hyper"].items()}
                config = {**about["columns"], **config, "seed": run["seed"]}
                tags = [str(config[key])[:64] for key in ("task", "optimizer", "batch_size")]
                group = groups.get(run["run"])
                about_run = {"name": name(config, about["hyper_prefix"]), "config": config, "tags": tags}
                log.runs[lane] = self.begin(store, run["run"], job_type="run", group=group, notes=notes, **about_run)
        return log

    def begin(self, store: Store, key: str, **about: Any) -> "wandb.Run":
        """A new W&B run in place of what an interrupted attempt left of it."""
        package, place = client(), self.place(store)
        # The files of tables, which would lie in the user's home: when the runs are synced, they must be there too.
        os.environ["WANDB_DATA_DIR"] = str(place / "data")
        for remains in place.glob(f"{'offline-' if self.mode == 'offline' else ''}run-*-{key}"):
            shutil.rmtree(remains, ignore_errors=True)
        quiet = package.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            save_code=False,
            symlink=False,
            use_dot_wandb=False,
            allow_offline_artifacts=False,  # they would be kept outside the folder
            x_save_requirements=False,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_transaction_log_flush_interval=_FLUSH,
        )
        with one_sentence():
            run: wandb.Run = package.init(
                dir=str(place.parent),
                id=key,
                mode=self.mode,
                project=self.project,
                entity=self.entity,
                reinit="create_new",
                settings=quiet,
                **about,
            )
        return run

    def done(self, store: Store, runs: Mapping[str, "wandb.Run"], content: str = "") -> None:
        """Finish W&B runs and write down that they are complete. content: digest of what may change about them."""
        entries = {}
        for key, run in runs.items():
            folder = Path(run.settings.sync_dir).name
            with one_sentence():
                run.finish()
            entries[key] = {"project": self.project, "entity": self.entity, "folder": folder, "content": content}
        path = self.place(store) / "ledger.json"
        with locks.locked(path.with_suffix(".lock")):
            ledger = _read(path)
            ledger.setdefault(self.mode, {}).update(entries)
            files.write_json(path, ledger)

    def summarise(self, store: Store, sweep: Sweep) -> bool:
        """A run with tables of the sweep's runs and of their statistics, and a paper's verdicts and figures."""
        if len(sweep.runs) < 2 or len(store.find(sweep.runs)) < len(sweep.runs):
            return False
        key, content = f"summary-{sweep.id}", _tables.digest(store, sweep)
        with locks.locked(store.folder / "sweeps" / "lock"):
            entry = self._ledger(store).get(key)
            if entry and entry["content"] == content and self._is_here(store, entry):
                return False
            about = {
                "name": f"summary: {sweep.title}"[:128],
                "group": sweep.id,
                "job_type": "summary",
                "tags": ["summary"],
            }
            config = {k: v for k, v in asdict(sweep).items() if k not in ("runs", "tuning")}
            run = self.begin(store, key, config=config, **about)
            with one_sentence():
                shown, counts = _tables.of(store, sweep)
                run.log(shown)
                run.summary.update(counts)
            self.done(store, {key: run}, content)
        return True

    def _ledger(self, store: Store) -> dict[str, Any]:
        entries: dict[str, Any] = _read(self.place(store) / "ledger.json").get(self.mode, {})
        return entries

    def _is_here(self, store: Store, entry: dict[str, Any]) -> bool:
        same = entry["project"] == self.project and entry["entity"] == self.entity
        return same and (self.mode == "online" or (self.place(store) / entry["folder"]).is_dir())


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        return content
    except (OSError, ValueError):
        return {}
