"""Look at the runs of a store in the terminal: exports what is missing, then opens `wandb leet`.

python -m experiments.dashboard [store=FOLDER] [folder=FOLDER]
"""

import subprocess
import sys
from pathlib import Path

from experiments import export, options
from experiments.run import guarded
from optim.settings import SettingError


def show(chosen: export.Options) -> None:
    """Do it; without a terminal, only say where the runs are."""
    if chosen.mode != "offline":
        raise SettingError("the dashboard shows offline runs: leave mode= out")
    folder = export.export(chosen)
    viewer = Path(sys.executable).with_name("wandb")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print(f"the dashboard needs a terminal, and this is none; there: {viewer} leet {folder}")
        return
    subprocess.run([viewer, "leet", folder], check=False)


def main(words: list[str] | None = None) -> int:
    """The command line."""
    words = sys.argv[1:] if words is None else words
    if "--help" in words or "-h" in words:
        print(__doc__)
        return 0
    return guarded(lambda: show(options.read(words, export.Options, "dashboard")))


if __name__ == "__main__":
    sys.exit(main())
