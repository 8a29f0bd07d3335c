"""Rerun a paper's questions and judge its claims.

    python -m experiments.reproduce [paper=NAME] [scale=laptop] [claim=A2] [settings=mine.yaml] [plan=true]

Without a paper, all of them. Runs that the store has are not run again. Figures, tables and verdicts go to
results/local/<paper>/<scale>/ (with reference=true to results/<paper>/<scale>/, the committed reference, from runs of
this very code), and the last line compares the verdicts with the reference. settings= names a YAML file that replaces
some of the settings in configs/paper/<paper>/<scale>.yaml; report=true judges what the store holds and runs nothing;
plan=true only says what would be run. logger=wandb (with logger.mode=online and so on) writes the reported runs, the
verdicts and the figures as W&B runs; `python -m experiments.export` does so later.
"""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments import claims, components, pages, papers, provenance, sweeps
from experiments.claims import Claim
from experiments.logger import Logger, export
from experiments.options import read as read_options
from experiments.run import guarded
from experiments.session import Nothing, Session
from optim import settings
from optim.settings import SettingError, nearest, setting

RESULTS = components.ROOT / "results"
SCALES = components.CONFIGS / "paper"


@dataclass(kw_only=True)
class Options:
    """The words of the command line."""

    paper: str | None = setting(None, doc="name of a paper; all by default")
    scale: str = setting("laptop", doc="name of a file in configs/paper/<paper>/")
    claim: str | None = setting(None, doc="judge this claim only, such as A2")
    settings: str | None = setting(None, doc="YAML file with settings that replace ours")
    plan: bool = setting(False, doc="only say what would be run")
    report: bool = setting(False, doc="use the runs there are, run nothing")
    reference: bool = setting(False, doc="write the committed reference")
    store: str | None = setting(None, doc="folder of the runs (default: results/runs in the clone)")
    logger: Logger | None = field(default=None, metadata={"doc": "wandb: show the reported runs there"})


def read(words: Sequence[str]) -> Options:
    """The options; raises SettingError for words that are none."""
    of_logger = [word for word in words if word.startswith(("logger=", "logger."))]
    options: Options = read_options([word for word in words if word not in of_logger], Options, "reproduce")
    options.logger = _logger(of_logger)
    if options.paper is not None and options.paper not in papers.names():
        raise SettingError(f"there is no paper '{options.paper}': {nearest(options.paper, papers.names())}")
    if options.reference and options.claim:
        raise SettingError("reference=true writes all verdicts of a paper: leave claim= out")
    if options.reference and provenance.commit().endswith(("+changes", "unknown")):
        raise SettingError("reference=true needs a clean commit, so that the results name the code that made them")
    return options


def _logger(words: Sequence[str]) -> Logger | None:
    values = dict(word.split("=", 1) for word in words if "=" in word)
    name, valid = values.pop("logger", "none"), components.choices("logger")
    if name not in valid:
        raise SettingError(f"there is no logger '{name}': {nearest(name, valid)}")
    if name == "none":
        if words != ["logger=none"] and words:
            raise SettingError(f"'{words[0]}' is a setting of a logger: choose one, such as logger=wandb")
        return None
    node = {"_target_": f"{components.PACKAGES['logger']}.{name}"}
    chosen: Logger = components.component("logger", node | {k.removeprefix("logger."): v for k, v in values.items()})
    return chosen


def reproduce(options: Options) -> None:
    """Do it for every paper asked for."""
    if options.paper:
        return _one(options.paper, options)
    there = [name for name in papers.names() if (SCALES / name / f"{options.scale}.yaml").exists()]
    if not there:
        raise SettingError(f"no paper has the scale '{options.scale}'")
    for name in papers.names():
        if name in there:
            _one(name, options)
        else:
            print(f"skipped: {name} has no scale {options.scale}")
    return None


def _one(paper: str, options: Options) -> None:
    package = f"experiments.papers.{paper.replace('-', '_')}"
    about, module = importlib.import_module(package), importlib.import_module(f"{package}.claims")
    wanted = _claims(module.CLAIMS, options.claim)
    chosen = _settings(paper, options)
    names = sorted({study for claim in wanted for study in claim.studies})
    studies = {name: importlib.import_module(f"{package}.studies.{name}") for name in names}
    for name in set(chosen) - set(studies):
        if not _exists(f"{package}.studies.{name}"):
            raise SettingError(f"there is no study '{name}' in {paper}: {nearest(name, studies)}")
    configured = {name: _configured(studies[name], chosen, name) for name in names}
    own_store = RESULTS / "runs" / f"reference-{provenance.code_digest()}" if options.reference else RESULTS / "runs"
    session = Session(options.store or own_store, only_plan=options.plan, only_report=options.report)
    if options.logger and not options.plan:
        options.logger.require(session.store)
    print(f"{about.TITLE} ({about.SOURCE}), scale {options.scale}: {', '.join(claim.id for claim in wanted)}")
    try:
        found = {name: studies[name].measure(configured[name], session) for name in names}
    except Nothing:
        return
    if options.plan:
        print("nothing is left to run")
        return
    verdicts = [claims.judge(claim, found) for claim in wanted]
    folder = (RESULTS if options.reference else RESULTS / "local") / paper / options.scale
    pages.write(folder, about, options.scale, verdicts, studies, configured, found, session)
    print(pages.verdict_lines(verdicts))
    print(f"figures, tables and verdicts: {_shown(folder)}")
    _log(paper, options, session, found, folder)
    if not options.reference:
        print(claims.compare(verdicts, RESULTS / paper / options.scale / "verdicts.json"))


def _log(paper: str, options: Options, session: Session, found: dict[str, Any], folder: Path) -> None:
    """Write down what was reported, as a sweep of the store, and show it where there is a logger."""
    fresh = {run for study in found.values() for run in study.reported}
    if not fresh or (options.report and not options.logger):  # a store that is only looked at may be read-only
        return
    about = {"paper": paper, "scale": options.scale, "studies": sorted(found)}
    words = [f"{key}={value}" for key, value in vars(options).items() if value and key != "logger"]
    sweep = sweeps.record(session.store, fresh, words, about, set(session.asked) - fresh)
    sweeps.keep_pages(session.store, sweep, folder)
    if options.logger:
        export(options.logger, session.store, sweep.runs, quiet=False)
        options.logger.summarise(session.store, sweep)
        print(options.logger.where(session.store))


def _claims(available: Sequence[Claim], wanted: str | None) -> list[Claim]:
    by_id = {claim.id: claim for claim in available}
    if wanted is None:
        return list(available)
    if wanted not in by_id:
        raise SettingError(f"there is no claim '{wanted}': {nearest(wanted, by_id)}")
    return [by_id[wanted]]


def _settings(paper: str, options: Options) -> dict[str, dict[str, Any]]:
    """Settings by study: the scale's own, with the user's file on top."""
    scales = sorted(path.stem for path in (SCALES / paper).glob("*.yaml"))
    if options.scale not in scales:
        raise SettingError(f"{paper} has no scale '{options.scale}': {nearest(options.scale, scales)}")
    chosen = _read_yaml(SCALES / paper / f"{options.scale}.yaml")
    if options.settings:
        for study, values in _read_yaml(Path(options.settings)).items():
            if not isinstance(values, dict):
                raise SettingError(f"{options.settings}: '{study}' must hold settings of a study")
            chosen[study] = {**chosen.get(study, {}), **values}
    return chosen


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text())
    except OSError as problem:
        raise SettingError(f"settings={path} cannot be read: {problem.strerror}") from None
    except yaml.YAMLError as problem:
        raise SettingError(f"settings={path} is not YAML: {' '.join(str(problem).split())}") from None
    if not isinstance(content, dict):
        raise SettingError(f"settings={path} must hold settings by study")
    return content


def _exists(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _configured(study: ModuleType, chosen: dict[str, Any], name: str) -> Any:
    try:
        return settings.build(study.Settings, chosen.get(name, {}), name)
    except TypeError as problem:
        raise SettingError(f"the settings of {name} are incomplete: {problem}") from None


def _shown(folder: Path) -> str:
    return folder.relative_to(components.ROOT).as_posix() if folder.is_relative_to(components.ROOT) else str(folder)


def main(words: list[str] | None = None) -> int:
    """The command line."""
    words = sys.argv[1:] if words is None else words
    if "--help" in words or "-h" in words:
        print(__doc__)
        print("papers: " + ", ".join(papers.names()))
        return 0
    return guarded(lambda: reproduce(read(words)))


if __name__ == "__main__":
    sys.exit(main())
