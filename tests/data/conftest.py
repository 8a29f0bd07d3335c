"""Every test here has a cache and a download folder of its own and no DATA_DIR, unless it asks for the real one."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from data import cache, files

# Read before any test changes the environment.
_DATA_DIR = os.environ.get("DATA_DIR")

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".bz2": bz2.compress,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
}


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "FOLDER", tmp_path / "cache")
    monkeypatch.setattr(files, "DOWNLOADS", tmp_path / "downloads")
    monkeypatch.delenv("DATA_DIR", raising=False)


@pytest.fixture(params=sorted(COMPRESS), ids=lambda suffix: suffix or "plain")
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def compress() -> dict[str, Callable[[bytes], bytes]]:
    return COMPRESS


@pytest.fixture
def real_data(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of real files; its cache is shared by the tests of one process, so that each file is parsed once."""
    if not _DATA_DIR:
        pytest.skip("the environment variable DATA_DIR is not set: no real data files to check")
    shared = tmp_path_factory.getbasetemp() / "real-cache"
    monkeypatch.setattr(cache, "FOLDER", shared)
    monkeypatch.setenv("DATA_DIR", _DATA_DIR)
    return Path(_DATA_DIR)
