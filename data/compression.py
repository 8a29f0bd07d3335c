"""Decompress bz2, gzip and xz content, and say plainly when it is cut short or damaged."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

from data.errors import DataError

SUFFIXES = (".bz2", ".gz", ".xz")

_MAGIC = {".bz2": b"BZh", ".gz": b"\x1f\x8b", ".xz": b"\xfd7zXZ\x00"}
_GZIP_WINDOW = 31  # zlib's code for a gzip header and trailer around a window of 2**15 bytes


class _Stream(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


_STREAMS: dict[str, Callable[[], _Stream]] = {
    ".bz2": bz2.BZ2Decompressor,
    ".gz": lambda: zlib.decompressobj(_GZIP_WINDOW),
    ".xz": lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ),
}


def suffix_of(name: str) -> str:
    """The compression suffix that a file name or address ends in, in lower case, or "" if it has none."""
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")


def strip_suffix(name: str) -> str:
    """The name without its compression suffix: "a4a.t.bz2" and "a4a.t" both give "a4a.t"."""
    return name[: len(name) - len(suffix_of(name))]


def decompress(content: bytes, name: str) -> bytes:
    """Decompressed `content` of the file (path or address) called `name`, which is not read here.

    The compression is told by the suffix, or by the first bytes when the name has none of the known suffixes.
    Concatenated streams (as parallel compressors write them) are joined.

    Raises DataError if the content ends early, is damaged, or is not what the suffix says.
    """
    kind = suffix_of(name)
    if not kind:
        kind = next((suffix for suffix, magic in _MAGIC.items() if content.startswith(magic)), "")
        return _join_streams(content, name, kind) if kind else content
    if not content.startswith(_MAGIC[kind][: len(content)]):
        raise DataError(f"{name} is named {kind} but holds no {kind} stream: rename the file or get it again")
    return _join_streams(content, name, kind)


def _join_streams(content: bytes, name: str, kind: str) -> bytes:
    parts = []
    rest = content
    while True:
        stream = _STREAMS[kind]()
        try:
            parts.append(stream.decompress(rest))
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            raise DataError(f"{name} is truncated or corrupt ({error}): get the file again") from error
        if not stream.eof:
            raise DataError(f"{name} is truncated or corrupt (the {kind} stream ends early): get the file again")
        rest = stream.unused_data.lstrip(b"\0")  # gzip and xz allow zero bytes as padding after a stream
        if not rest:
            return b"".join(parts)
