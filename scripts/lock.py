"""Resolve requirements.in into requirements.lock (`make lock`).

Every package that the direct requirements need, in the newest version they admit, pinned, for any machine: without
torch's build suffix and without the CUDA packages that its builds for Linux bring along. Nothing is installed. It takes
the oldest supported Python: newer ones admit newer packages, which the oldest could not install. After a change, see
with `pip install --dry-run --requirement requirements.lock` in a fresh environment that the newer ones accept it too.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

OLDEST_PYTHON = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
CUDA_PACKAGE = re.compile(r"(nvidia|cuda|triton)\b")

HEADER = """\
# Made by `make lock` from requirements.in: edit that file, not this one. `make setup` installs it, for Python 3.11 to
# 3.13.
#
# On Linux an ordinary package index gives torch's CUDA build (several GB). To choose the build yourself:
#     make setup TORCH_INDEX=<address of PyTorch's wheel index for the CPU or for one CUDA version>
# which passes --extra-index-url to pip. torch is pinned without a build suffix, so that any of its builds will do.
"""


def main() -> None:
    if sys.version_info[:2] != OLDEST_PYTHON:
        sys.exit("make lock takes the oldest supported Python, {}.{}: add PYTHON=<path to it>.".format(*OLDEST_PYTHON))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", f"{folder}/venv"], check=True)
        report = Path(folder, "report.json")
        command = [f"{folder}/venv/bin/python", "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--report", str(report), "--requirement", str(ROOT / "requirements.in")]
        if index := os.environ.get("TORCH_INDEX"):
            command += ["--extra-index-url", index]
        subprocess.run(command, check=True)
        packages = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    versions = {re.sub(r"[-_.]+", "-", package["name"]).lower(): package["version"] for package in packages}
    pins = [
        f"{name}=={version.partition('+')[0]}\n"
        for name, version in sorted(versions.items())
        if not CUDA_PACKAGE.match(name)
    ]
    (ROOT / "requirements.lock").write_text(HEADER + "".join(pins), encoding="utf-8")
    print(f"requirements.lock: {len(pins)} packages")


if __name__ == "__main__":
    main()
