"""Where a result comes from: code, libraries, hardware, data."""

import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from experiments import distributed

ROOT = Path(__file__).resolve().parents[1]
_RESULTS_DEPEND_ON = ("optim", "data", "experiments")
_LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "hydra-core", "safetensors", "transformers")


@functools.cache
def code_digest(papers: bool = False) -> str:
    """sha256 (12 digits) of the source files that runs depend on; with `papers`, also those of claims and figures."""
    total = hashlib.sha256()
    for folder in _RESULTS_DEPEND_ON:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if papers or "papers" not in path.parts:
                total.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


@functools.cache
def commit() -> str:
    """The commit of the clone, "+changes" if files differ from it (results apart); "unknown" outside a git clone."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+changes" if _git("status", "--porcelain", "--", ".", ":!results") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def describe(device: str = "cpu") -> dict[str, Any]:
    """Code version, library versions and hardware, as plain values."""
    return {
        "commit": commit(),
        "code": code_digest(),
        "before": [],  # other code that a part was computed by, before it was resumed
        "python": platform.python_version(),
        "libraries": _versions(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "processes": distributed.world().size,
        "device": torch.cuda.get_device_name() if torch.device(device).type == "cuda" else "cpu",
        "system": platform.platform(terse=True),
    }


@functools.cache
def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {**found, "torch": torch.__version__}


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
