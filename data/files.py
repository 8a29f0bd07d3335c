"""Where files are looked for, and reading one with a clear error."""

from __future__ import annotations

import os
from pathlib import Path

from data.compression import SUFFIXES, strip_suffix
from data.errors import DataError, MissingData
from data.registry import Entry

DOWNLOADS = Path(__file__).resolve().parent / "downloads"


def folder() -> Path:
    """The folder of registered files: the environment variable DATA_DIR if set, else data/downloads/.

    Raises DataError if DATA_DIR names no folder.
    """
    stated = os.environ.get("DATA_DIR")
    if not stated:
        return DOWNLOADS
    path = expand(stated)
    if not os.path.isdir(path):  # noqa: PTH112 -- Path.is_dir raises below a folder that may not be entered
        raise DataError(f"DATA_DIR is {stated}, which is not a folder: correct the variable or unset it")
    return path


def candidates(file: str) -> list[str]:
    """Names under which a registered file is accepted: as registered, then uncompressed, then other compressions."""
    stem = strip_suffix(file)
    return list(dict.fromkeys([file, stem, *(stem + suffix for suffix in SUFFIXES)]))


def find_in(where: Path, file: str) -> Path | None:
    """The first of `candidates` that exists in the folder `where`."""
    paths = (where / name for name in candidates(file))
    return next((path for path in paths if os.path.exists(path)), None)  # noqa: PTH110 -- as above


def find(entry: Entry) -> Path:
    """The path of a registered file. Raises DataError, saying how to get it, if it is not there."""
    assert entry.file is not None, "only sets kept in a file are looked for"
    where = folder()
    path = find_in(where, entry.file)
    if path is None:
        raise MissingData(f"the data set {entry.name} is missing: no {entry.file} in {where}; {remedy(entry)}")
    return path


def remedy(entry: Entry) -> str:
    """How to get a registered file, as the end of a sentence."""
    command = f"`make data SETS={entry.name}`"
    if os.environ.get("DATA_DIR"):
        return f"put the right file there, or unset DATA_DIR and run {command}"
    return f"run {command}, or set DATA_DIR to a folder that has the file"


def expand(path: str | os.PathLike[str]) -> Path:
    """`path` with a leading ~ resolved. Raises DataError if it cannot be a path."""
    try:
        return Path(path).expanduser()
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{path!r} is not a usable path ({error}): correct it") from error


def read(path: Path) -> bytes:
    """The bytes of a regular file. Raises DataError if it is missing, not a regular file, unreadable or empty."""
    try:
        if not path.exists():
            raise DataError(f"there is no file {path}: correct the path")
        if path.is_dir():
            raise DataError(f"{path} is a folder, not a file: name a file in it")
        if not path.is_file():
            raise DataError(f"{path} is not a regular file: copy the data into one first")
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read ({reason}): check the path and its permissions") from error
    if not content:
        raise DataError(f"{path} is empty (0 bytes): get the file again")
    return content
