"""Make the virtual environment .venv from requirements.lock (`make setup`; the standard library is enough).

An environment is complete when its stamp says so: the clone's path, then the lock that was installed. Anything else,
an interrupted set-up, another lock or a clone that was moved, is made again from nothing. Set-ups of one clone that
run at the same time wait for each other. The file is written so that any Python from 3.6 can read
it, if only to be refused in one sentence.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / ".stamp"
LOCK = ROOT / "requirements.lock"


def main() -> None:
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        found, oldest, newest = ("{}.{}".format(*pair) for pair in (version, OLDEST, NEWEST))
        sys.exit(f"Anisotropy needs Python {oldest} to {newest}, this is {found}: add PYTHON=<path to one> to make.")
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with (cache / "setup.lock").open("w") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another set-up of this clone to finish.", flush=True)
            fcntl.flock(guard, fcntl.LOCK_EX)
        content = f"{ROOT}\n{LOCK.read_text(encoding='utf-8')}"
        if PYTHON.exists() and STAMP.exists() and STAMP.read_text(encoding="utf-8") == content:
            STAMP.touch()  # only the date of the lock has changed
        else:
            install(content)


def install(stamp: str) -> None:
    """Make the environment from nothing and write its stamp last."""
    start = time.monotonic()
    print("Setting up .venv with Python {}.{} (2 GB; a minute or more).".format(*sys.version_info[:2]), flush=True)
    STAMP.unlink(missing_ok=True)
    if VENV.exists():
        shutil.rmtree(VENV)
    run("the virtual environment (Debian and Ubuntu need the package python3-venv)", sys.executable, "-m", "venv", VENV)
    # torch first and by its pin: packages built on the way must not bring another build of it.
    torch = re.search(r"^torch==\S+", stamp, re.MULTILINE)
    if torch is None:
        sys.exit("requirements.lock pins no torch.")
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if os.environ.get("TORCH_INDEX"):
        pip += ["--extra-index-url", os.environ["TORCH_INDEX"]]
    run(torch.group(), *pip, torch.group(), "--constraint", LOCK)
    run("the other packages", *pip, "--requirement", LOCK)
    # `python -m experiments.run` then works from any folder.
    site = sysconfig.get_path("purelib", "venv", {"base": str(VENV)})
    Path(site, "anisotropy.pth").write_text(str(ROOT) + "\n", encoding="utf-8")
    unfinished = STAMP.with_name(".stamp.part")
    unfinished.write_text(stamp, encoding="utf-8")
    unfinished.replace(STAMP)
    print(f"Set up .venv in {time.monotonic() - start:.0f} s.", flush=True)


def run(what: str, *command: object) -> None:
    """Run one step; where it fails, end with one sentence that names it, below the step's own message."""
    print("  " + what.partition(" (")[0], flush=True)
    if subprocess.run([str(part) for part in command], check=False).returncode:
        sys.exit(f"Setting up .venv failed at {what}; the same command starts over.")


if __name__ == "__main__":
    main()
