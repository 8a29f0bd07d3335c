"""What there is to choose from: `python -m experiments.list [--json]`."""

import argparse
import json
import sys

from experiments import components, papers

_TITLES = {
    "tasks": "task",
    "optimizers": "optimizer",
    "batch_sizes": "batch_size",
    "schedules": "schedule",
    "averages": "average",
    "probes": "probe",
}


def catalogue() -> dict[str, list[str]]:
    """Names by kind: tasks, optimizers, batch_sizes, schedules, averages, probes, papers."""
    return {**{title: components.choices(group) for title, group in _TITLES.items()}, "papers": papers.names()}


def main(words: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m experiments.list", description="List what runs are made of.")
    parser.add_argument("--json", action="store_true", help="as JSON")
    wanted = parser.parse_args(words)
    found = catalogue()
    if wanted.json:
        print(json.dumps(found, indent=1))
        return 0
    for title, names in found.items():
        group = _TITLES.get(title)
        print(f"{title} ({group}=...)" if group else title)
        for name in names:
            print(f"  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
