"""Named arrays kept on disk, so that a file is parsed once. Losing the folder costs time and nothing else."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / ".cache" / "data"

Arrays = dict[str, np.ndarray[Any, np.dtype[Any]]]


def read(key: str) -> Arrays | None:
    """The arrays stored under `key`, or None if there are none or the file is damaged. Never raises, never unpickles.

    The format (zip) holds a checksum of each array, so a flipped bit is noticed here.
    """
    try:
        # Opened here, because numpy leaves a file it opened itself open when the content is no archive.
        with (FOLDER / f"{key}.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except Exception:  # a damaged file fails in zipfile, zlib, numpy or here, each with exceptions of its own
        return None


def write(key: str, arrays: Mapping[str, Any]) -> None:
    """Store `arrays` under `key`: the file appears whole or not at all. A folder that cannot be written is no error."""
    path = FOLDER / f"{key}.npz"
    temporary = FOLDER / f"{key}.{uuid.uuid4().hex}.tmp"
    try:
        FOLDER.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except OSError:
        pass  # read-only checkout, full disk: the next load parses again
