"""Find the first bad line of a LIBSVM text: slow, strict, and run only when something is wrong or unusual."""

from __future__ import annotations

import io
import math
import re

from data.errors import DataError

_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOT_FINITE = re.compile(rb"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_INDEX = re.compile(rb"[+-]?\d+")
_LARGEST_INDEX = 2**31 - 1  # what scikit-learn's parser can hold
_MOST_DIGITS = 19
_SHOWN = 40  # bytes of a bad token that a message quotes


def diagnose(content: bytes, features: int | None, name: str) -> None:
    """Read the whole text line by line; return if every line is well formed and fits `features`.

    Raises DataError with the number (from 1) of the first bad line. The count of features is checked after that,
    because whether indices start at 0 or at 1 is known only once every line has been read.
    """
    lowest, highest = _LARGEST_INDEX, -1
    beyond: dict[int, tuple[int, int]] = {}  # index base -> first (line, index) that does not fit `features`
    for number, line in enumerate(io.BytesIO(content), start=1):
        tokens = line.split(b"#", 1)[0].split()
        if not tokens:
            continue
        where = f"{name}, line {number}"
        _check_number(tokens[0], where, "label")
        indices = _check_pairs(tokens[1:], where)
        if not indices:
            continue
        lowest, highest = min(lowest, indices[0]), max(highest, indices[-1])
        if features is not None:
            for base in (0, 1):
                if indices[-1] >= features + base:
                    beyond.setdefault(base, (number, next(i for i in indices if i >= features + base)))
    base = 0 if lowest == 0 else 1
    if base in beyond:
        number, index = beyond[base]
        counted = " (indices count from 0, since index 0 occurs)" if base == 0 else ""
        raise DataError(
            f"{name}, line {number}: index {index}{counted} is beyond the {features} features stated: "
            f"state at least {highest + 1 - base} features or correct the file"
        )


def _check_pairs(tokens: list[bytes], where: str) -> list[int]:
    """The indices of one row, in order."""
    indices: list[int] = []
    for token in tokens:
        head, colon, tail = token.partition(b":")
        if head == b"qid":
            raise DataError(f"{where}: {_show(token)} names a ranking query, which is not supported: remove every qid")
        if not colon or not _INDEX.fullmatch(head):
            raise DataError(f"{where}: {_show(token)} is not an index:value pair: correct the line")
        # int() itself refuses thousands of digits, so a long index is not converted at all.
        index = int(head) if len(head) <= _MOST_DIGITS else _LARGEST_INDEX + 1
        if index < 0:
            raise DataError(f"{where}: the index in {_show(token)} is negative: correct the line")
        if index > _LARGEST_INDEX:
            raise DataError(f"{where}: the index in {_show(token)} is above {_LARGEST_INDEX}: correct the line")
        _check_number(tail, where, f"value of index {index}")
        if indices and index == indices[-1]:
            raise DataError(f"{where}: index {index} is repeated: give each index once in a row")
        if indices and index < indices[-1]:
            raise DataError(f"{where}: index {index} comes after index {indices[-1]}: sort the indices within the row")
        indices.append(index)
    return indices


def _check_number(token: bytes, where: str, what: str) -> None:
    if _NOT_FINITE.fullmatch(token):
        raise DataError(f"{where}: the {what} is {_show(token)}, not a finite number: correct or remove the line")
    if not _NUMBER.fullmatch(token):
        raise DataError(f"{where}: the {what} is {_show(token)}, not a number: correct the line")
    if not math.isfinite(float(token)):
        raise DataError(f"{where}: the {what} is {_show(token)}, which is infinite in float64: correct the line")


def _show(token: bytes) -> str:
    text = token[:_SHOWN].decode("latin-1").encode("unicode_escape").decode("ascii")
    return f"'{text}{'...' if len(token) > _SHOWN else ''}'"
