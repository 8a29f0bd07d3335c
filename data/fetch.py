"""Download registered sets from their official sources: `python -m data.fetch [--sets libsvm/a9a ...] [--list]`."""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import http.client
import io
import os
import sys
import tarfile
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from data import cifar, files
from data.compression import decompress, strip_suffix, suffix_of
from data.errors import DataError
from data.images import check_image_file, images_available
from data.loading import available, check_text
from data.registry import ENTRIES, IMAGES, Entry, ImageEntry, entry

_BLOCK = 1 << 16  # bytes
_TIMEOUT = 30.0  # seconds without a byte


class UnreachableError(DataError):
    """The source could not be reached at all, so that trying the next set is pointless."""


def fetch(known: Entry, folder: Path) -> str:
    """Have the file of a registered set in `folder`; returns a sentence on what was done.

    The content goes to a `.part` file, is verified there, and only then gets its name.

    Raises DataError if the source cannot be reached, the download is cut short or its content is not the registered
    one, or the folder cannot be written; no finished file is left then.
    """
    if known.file is None:
        return f"{known.name}: comes with scikit-learn, nothing to download"
    present = files.find_in(folder, known.file)
    if present is not None:
        _verify(known, present, str(present), "delete the file and fetch it again")
        return f"{known.name}: already there, {present}"
    # The source may be compressed otherwise than the registered file: the name kept has the suffix of the source.
    target = folder / (strip_suffix(known.file) + suffix_of(known.source))
    advice = f"nothing was kept, {_by_hand(known)}"
    found = _keep(target, _blocks(known), lambda part: _verify(known, part, known.source, advice))
    if known.raw_sha256 is None:
        return f"{known.name}: fetched, {target}; its digest is not known beforehand, the one obtained is {found}"
    return f"{known.name}: fetched and verified, {target}"


def _keep(target: Path, content: Iterable[bytes], verify: Callable[[Path], str]) -> str:
    """Write a file that appears whole and verified or not at all; returns what `verify` said of the unfinished file.

    Raises DataError as `verify` does, or if the folder cannot be written.
    """
    part = target.with_name(f"{target.name}.{uuid.uuid4().hex}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            for block in content:
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        found = verify(part)
        part.replace(target)
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror or error}): free or choose the folder") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return found


def fetch_images(known: ImageEntry, folder: Path) -> str:
    """Have the files of a set of images in `folder`; returns a sentence or several on what was done.

    They are downloaded one by one, unpacked from the archive that has them all, or made from the set that has more.

    Raises DataError as `fetch` does.
    """
    missing = [file for file in known.files if files.find_in(folder, str(file.file)) is None]
    if not missing or not (known.archive or known.part_of):
        return "\n".join(fetch(file, folder) for file in known.files)
    contents = _selected(known, folder) if known.part_of else _unpacked(known)
    for file in missing:
        target, advice = folder / strip_suffix(str(file.file)), f"nothing was kept, {_by_hand(file)}"
        verify = functools.partial(_verify, file, called=str(target), advice=advice)
        _keep(target, [contents[target.name]], verify)
    how = f"made from {known.part_of}" if known.part_of else "fetched"
    return f"{known.name}: {how} and verified, {len(missing)} files in {(folder / str(missing[0].file)).parent}"


def _unpacked(known: ImageEntry) -> dict[str, bytes]:
    """The files of a set in its archive, by name. Raises DataError if it is not the registered archive."""
    content = b"".join(_blocks(known.files[0]))
    found = hashlib.sha256(content).hexdigest()
    if found != known.archive_sha256:
        raise DataError(
            f"{known.archive} has the SHA-256 {found[:12]}... where {known.archive_sha256[:12]}... is registered: "
            f"nothing was kept, {_by_hand(known.files[0])}"
        )
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        members = {Path(member.name).name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name: member.read() for name, member in members.items() if member is not None}


def _selected(known: ImageEntry, folder: Path) -> dict[str, bytes]:
    """The files, by name, that have the first images of each class of a larger set, which is fetched if need be."""
    whole = IMAGES[known.part_of]
    fetch_images(whole, folder)
    made = {}
    for file, larger in ((known.train[0], whole.train), (known.test[0], whole.test)):
        paths = [files.find_in(folder, str(one.file)) for one in larger]
        content = b"".join(decompress(files.read(path), str(path)) for path in paths if path is not None)
        first = cifar.first_of_each_class(content, file.rows // known.classes, known.part_of)
        made[strip_suffix(Path(str(file.file)).name)] = first
    return made


def _verify(known: Entry, path: Path, called: str, advice: str) -> str:
    """Digest of the file at `path`, which messages and the suffix rule know as `called`."""
    content = decompress(files.read(path), called)
    if known.name in IMAGES:
        return check_image_file(known, content, called, advice)
    return check_text(known, content, called, advice)


def _blocks(known: Entry) -> Iterator[bytes]:
    """The content of the source, block by block. Raises DataError for whatever the network does."""
    received, expected = 0, None
    try:
        request = urllib.request.Request(known.source, headers={"User-Agent": "python-data-fetch"})
        with urllib.request.build_opener().open(request, timeout=_TIMEOUT) as response:
            stated = response.headers.get("Content-Length")
            expected = int(stated) if stated and stated.isdigit() else None
            while block := response.read(_BLOCK):
                received += len(block)
                _show_progress(known.name, received, expected)
                yield block
    except urllib.error.HTTPError as error:
        raise DataError(f"{known.source} answered {error.code} {error.reason}: {_by_hand(known)}") from error
    except urllib.error.URLError as error:
        raise UnreachableError(f"{known.source} cannot be reached ({error.reason}): {_by_hand(known)}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = f"{type(error).__name__} after {received} bytes"
        raise DataError(f"the download of {known.source} broke off ({reason}): {_by_hand(known)}") from error
    finally:
        if received and sys.stderr.isatty():
            print(file=sys.stderr)  # ends the progress line
    if received == 0 or (expected is not None and received != expected):  # http.client accepts a short read
        reason = f"{received} of {expected or 'unknown'} bytes"
        raise DataError(f"the download of {known.source} broke off ({reason}): {_by_hand(known)}")


def _by_hand(known: Entry) -> str:
    return f"try again later, or get {known.file} by hand and set DATA_DIR to the folder that has it"


def _show_progress(name: str, received: int, expected: int | None) -> None:
    if not sys.stderr.isatty():
        return
    total = f" of {expected / 1e6:.1f}" if expected else ""
    print(f"\r{name}: {received / 1e6:.1f}{total} MB", end="", file=sys.stderr, flush=True)


def table() -> str:
    """Registered sets with rows (training images), features (bytes of an image), classes, whether each can be loaded
    now, and its licence.
    """
    rows: list[tuple[str, ...]] = [("set", "rows", "features", "classes", "available", "licence")]
    for name in sorted([*ENTRIES, *IMAGES]):
        there = available(name) if name in ENTRIES else images_available(name)
        known = ENTRIES[name] if name in ENTRIES else IMAGES[name].train[0]
        count = known.rows if name in ENTRIES else IMAGES[name].rows
        numbers = (f"{count:,}", f"{known.features:,}", str(known.classes))
        rows.append((name, *numbers, "yes" if there else "no", known.licence))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for row in rows:
        middle = [cell.rjust(width) for cell, width in zip(row[1:4], widths[1:4], strict=True)]
        lines.append("  ".join((row[0].ljust(widths[0]), *middle, row[4].ljust(widths[4]), row[5])))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 if every set asked for is there now, 1 if one is not, 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="python -m data.fetch", description="Download data sets and verify them.")
    parser.add_argument("--sets", nargs="*", default=[], metavar="NAME", help="names, also with commas; default: all")
    parser.add_argument("--list", action="store_true", help="print the registered sets and stop")
    options = parser.parse_args(arguments)
    try:
        if options.list:
            files.folder()  # a DATA_DIR that names no folder is told here, not shown as a table full of "no"
            print(table())
            return 0
        names = [name for group in options.sets for name in group.split(",") if name]
        return _fetch_all(names or sorted([*ENTRIES, *IMAGES]))
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: no partial file was kept", file=sys.stderr)
        return 130


def _fetch_all(names: Sequence[str]) -> int:
    """Fetch the named sets; one that fails does not stop the others, an unreachable source does."""
    code = 0
    for known in [IMAGES[name] if name in IMAGES else entry(name) for name in names]:
        try:
            called = fetch(known, files.DOWNLOADS) if isinstance(known, Entry) else fetch_images(known, files.DOWNLOADS)
            print(called, flush=True)
        except UnreachableError:
            raise
        except DataError as error:
            print(error, file=sys.stderr)
            code = 1
    if os.environ.get("DATA_DIR"):
        print(f"DATA_DIR is set, so sets are read from there: unset it to use {files.DOWNLOADS}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
