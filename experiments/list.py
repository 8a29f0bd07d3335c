"""What there is to choose from: `python -m experiments.list [--settings] [--json]`."""

import argparse
import dataclasses
import json
import signal
import sys
from collections.abc import Iterator
from typing import Any

from omegaconf import OmegaConf

from experiments import components, config, papers
from optim import settings
from optim.sequence import Sequence

_TITLES = {
    "tasks": "task",
    "optimizers": "optimizer",
    "batch_sizes": "batch_size",
    "schedules": "schedule",
    "sequences": "theta",  # and alpha, and beta
    "averages": "average",
    "wrappers": "wrapper",
    "probes": "probe",
    "launchers": "launcher",
    "loggers": "logger",
}


def catalogue() -> dict[str, list[str]]:
    """Names by kind: tasks, optimizers and the other parts of a run, and papers."""
    return {**{title: components.choices(group) for title, group in _TITLES.items()}, "papers": papers.names()}


def explained(group: str, name: str) -> Iterator[str]:
    """The settings of one component, a line each: name, default, what it is."""
    path = components.CONFIGS / group / f"{name}.yaml"
    node = OmegaConf.to_container(OmegaConf.load(path)) if path.exists() else {}
    assert isinstance(node, dict)
    target = str(node.get("_target_", f"{components.PACKAGES[group]}.{name}"))
    prefix = f"{group}.{name}" if group in components.SEVERAL else group
    for field in dataclasses.fields(components.component_class(group, target)):
        made = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
        if isinstance(made, Sequence):
            yield f"{_sequence(field.name, made, node.get(field.name))}  ({field.metadata['doc']})"
            continue
        default = node.get(field.name, "" if made is dataclasses.MISSING else made)
        lane = ", lane" if field.metadata.get("lane") else ""
        yield f"{prefix}.{field.name}={default}  ({field.metadata['doc']}{lane})"


def _sequence(group: str, default: Sequence, node: dict[str, Any] | None) -> str:
    """The words that choose a sequence: the default one, or that of a node."""
    made = default if node is None else components.component(group, node)
    values = [f"{group}.{key}={getattr(made, key)}" for key in settings.names(made)]
    return " ".join([f"{group}={type(made).__module__.rpartition('.')[2]}", *values])


def main(words: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.list", description="List what runs are made of.")
    parser.add_argument("--settings", action="store_true", help="with the settings of each, their defaults and meaning")
    parser.add_argument("--json", action="store_true", help="as JSON")
    wanted = parser.parse_args(words)
    found = catalogue()
    if wanted.json:
        print(json.dumps(found, indent=1))
        return 0
    for title, names in found.items():
        group = _TITLES.get(title)
        groups = components.SEQUENCES if group in components.SEQUENCES else (group,)
        print(f"{title} ({', '.join(f'{name}=...' for name in groups)})" if group else title)
        for name in names:
            print(f"  {name}")
            if wanted.settings and group and name != "none":
                print("".join(f"      {line}\n" for line in explained(group, name)), end="")
    if wanted.settings:
        print("everything else")
        for field in dataclasses.fields(config.Settings):
            print(f"  {field.name}  ({field.metadata['doc']})")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    sys.exit(main())
