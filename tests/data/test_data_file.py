"""A user's own file: what is read, and what is refused with which sentence."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import data
from data.diagnose import diagnose

Compress = dict[str, Callable[[bytes], bytes]]

TEXT = b"+1 1:0.5 3:-2e-3\n-1 2:.25\n\n1\n0 1:1 4:7.\n"
DENSE = np.array([[0.5, 0, -2e-3, 0], [0, 0.25, 0, 0], [0, 0, 0, 0], [1, 0, 0, 7]])


def _write(folder: Path, text: bytes, name: str = "mine") -> Path:
    path = folder / name
    path.write_bytes(text)
    return path


def _refusal(path: Path | str, features: int | None = None) -> str:
    with pytest.raises(data.DataError) as caught:
        data.load_file(path, features)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_every_compression_gives_the_same_arrays(tmp_path: Path, suffix: str, compress: Compress) -> None:
    path = _write(tmp_path, compress[suffix](TEXT), "mine.t" + suffix)
    for _ in range(2):  # parsed, then from the cache
        mine = data.load_file(path, features=6)
        assert (mine.name, mine.rows, mine.features) == ("mine.t" + suffix, 4, 6)
        assert mine.inputs.dtype == mine.targets.dtype == np.float64
        assert mine.inputs.indices.dtype == mine.inputs.indptr.dtype == np.int32
        np.testing.assert_array_equal(mine.inputs.toarray(), np.pad(DENSE, ((0, 0), (0, 2))))
        np.testing.assert_array_equal(mine.targets, [1.0, -1.0, 1.0, 0.0])
        assert mine.digest == hashlib.sha256(TEXT).hexdigest() == data.digest_file(path)


def test_random_rows_survive_the_round_trip_exactly(tmp_path: Path) -> None:
    source = random.Random(0)
    rows, lines = np.zeros((50, 40)), []
    labels = [source.gauss(0, 1) for _ in range(50)]
    for i in range(50):
        chosen = sorted(source.sample(range(40), source.randrange(40)))
        for j in chosen:
            rows[i, j] = source.gauss(0, 1) * 10 ** source.randrange(-300, 300)
        lines.append(" ".join([repr(labels[i]), *(f"{j + 1}:{float(rows[i, j])!r}" for j in chosen)]))
    mine = data.load_file(_write(tmp_path, "\n".join(lines).encode()), 40)
    np.testing.assert_array_equal(mine.inputs.toarray(), rows)
    np.testing.assert_array_equal(mine.targets, labels)


def test_a_compressed_file_needs_no_suffix_and_may_have_several_streams(tmp_path: Path, compress: Compress) -> None:
    half = len(TEXT) // 2
    for suffix in (".bz2", ".gz", ".xz"):
        content = compress[suffix](TEXT[:half]) + compress[suffix](TEXT[half:])
        mine = data.load_file(_write(tmp_path, content, f"bare{suffix[1:]}"))
        np.testing.assert_array_equal(mine.inputs.toarray(), DENSE)


def test_index_base_and_inferred_features(tmp_path: Path) -> None:
    one = data.load_file(_write(tmp_path, b"1 1:5 3:6\n", "one"))
    np.testing.assert_array_equal(one.inputs.toarray(), [[5, 0, 6]])
    zero = data.load_file(_write(tmp_path, b"1 1:5 3:6\n1 0:7\n", "zero"))
    np.testing.assert_array_equal(zero.inputs.toarray(), [[0, 5, 0, 6], [7, 0, 0, 0]])


def test_comments_and_line_ends(tmp_path: Path) -> None:
    mine = data.load_file(_write(tmp_path, b"# qid nan\r\n1 1:5 # a remark: inf\r\n-1\t2:6\r\n"))
    np.testing.assert_array_equal(mine.inputs.toarray(), [[5, 0], [0, 6]])


@pytest.mark.parametrize(
    ("text", "features", "facts"),
    [
        (b"1 1:1\n-1 2;3\n", None, ["line 2", "'2;3'", "index:value"]),
        (b"1 1:1\n\n-1 2:\n", None, ["line 3", "value of index 2", "''"]),
        (b"1 1:1\n-1 2: 3\n", None, ["line 2", "value of index 2"]),
        (b"1 1:1\n-1 :3\n", None, ["line 2", "':3'"]),
        (b"1 1:1\n-1 2:1:1\n", None, ["line 2", "'1:1'", "not a number"]),
        (b"1 1:1\n-1 2:1_000\n", None, ["line 2", "'1_000'", "not a number"]),
        (b"1 1:1\n1_0 2:1\n", None, ["line 2", "label", "'1_0'"]),
        (b"1 1:1\n-1 2:nan\n", None, ["line 2", "value of index 2", "'nan'", "not a finite"]),
        (b"1 1:1\n-1 2:-Infinity\n", None, ["line 2", "value of index 2", "'-Infinity'"]),
        (b"1 1:1\n-1 2:1e999\n", None, ["line 2", "value of index 2", "'1e999'", "infinite"]),
        (b"nan 1:1\n", None, ["line 1", "label", "'nan'", "not a finite"]),
        (b"1 1:1\n-1e999 2:1\n", None, ["line 2", "label", "infinite"]),
        (b"1 1:1\nspam 2:1\n", None, ["line 2", "label", "'spam'", "not a number"]),
        (b"1 1:1\n1,2 2:1\n", None, ["line 2", "label", "'1,2'"]),
        (b"1 1:1\n2:1 3:1\n", None, ["line 2", "label", "'2:1'"]),
        (b"\xef\xbb\xbf1 1:1\n", None, ["line 1", "label", r"\xef"]),
        (b"1 1:1\n1\x00 2:1\n", None, ["line 2", "label", r"\x00"]),
        (b"1 1:1\n1 qid:3 2:1\n", None, ["line 2", "qid:3", "ranking"]),
        (b"1 1:1\n1 3:1 2:1\n", None, ["line 2", "index 2", "after index 3", "sort"]),
        (b"1 1:1\n1 2:1 2:1\n", None, ["line 2", "index 2", "repeated"]),
        (b"1 1:1\n1 -2:1\n", None, ["line 2", "'-2:1'", "negative"]),
        (b"1 1:1\n1 4294967297:1\n", None, ["line 2", "'4294967297:1'", "above 2147483647"]),
        (b"1 1:1\n1 " + b"9" * 5000 + b":1\n", None, ["line 2", "above 2147483647"]),
        (b"1 1.5:1\n", None, ["line 1", "'1.5:1'", "index:value"]),
        (b"1 1:1\n1 2:1 5:1\n1 9:1\n", 3, ["line 2", "index 5", "3 features stated", "at least 9"]),
        (b"1 0:1\n1 2:1 3:1\n", 3, ["line 2", "index 3", "count from 0", "at least 4"]),
        (b"\n \n# nothing\n", None, ["mine", "no rows"]),
        (b"1\n-1\n", None, ["mine", "state the number of features"]),
        (b"<html>gone</html>", None, ["line 1", "'<html>gone</html>'"]),
        (b"", None, ["mine", "empty"]),
    ],
)
def test_bad_text_is_refused_by_line(tmp_path: Path, text: bytes, features: int | None, facts: list[str]) -> None:
    path = _write(tmp_path, text)
    message = _refusal(path, features)
    assert str(path) in message
    for fact in facts:
        assert fact in message
    assert not list((tmp_path / "cache").glob("*")), "a refused file must not be cached"


def test_the_largest_index_that_fits_is_accepted(tmp_path: Path) -> None:
    assert data.load_file(_write(tmp_path, b"1 3:1\n", "one"), 3).features == 3
    assert data.load_file(_write(tmp_path, b"1 0:1 2:1\n", "zero"), 3).features == 3


@pytest.mark.parametrize("features", [0, -1, 2.0, True, "3", 2**31])
def test_features_must_be_a_positive_integer(tmp_path: Path, features: int) -> None:
    assert repr(features) in _refusal(_write(tmp_path, TEXT), features)


def test_diagnosis_accepts_what_the_fast_path_accepts() -> None:
    diagnose(TEXT, 4, "mine")
    diagnose(b"1 0:1 3:1\n", 4, "mine")


def test_missing_folder_device_and_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no file" in _refusal(tmp_path / "absent.bz2")
    assert str(tmp_path / "absent.bz2") in _refusal(tmp_path / "absent.bz2")
    assert "is a folder" in _refusal(tmp_path)
    assert "regular" in _refusal(os.devnull)
    assert "cannot be read" in _refusal(tmp_path / ("x" * 5000))
    assert "no file" in _refusal("a\0b")
    assert "usable path" in _refusal("~no-such-user-at-all/mine")
    path = _write(tmp_path, TEXT)

    def denied(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert "Permission denied" in _refusal(path)


def test_every_truncation_is_refused(tmp_path: Path, compress: Compress) -> None:
    for suffix in (".bz2", ".gz", ".xz"):
        whole = compress[suffix](TEXT)
        for length in (*range(1, len(whole), 7), len(whole) - 1):
            path = _write(tmp_path, whole[:length], f"cut{suffix}")
            message = _refusal(path)
            assert "truncated or corrupt" in message, (suffix, length, message)
            assert str(path) in message
            with pytest.raises(data.DataError, match="truncated or corrupt"):
                data.digest_file(path)


def test_damage_and_trailing_rubbish_are_refused(tmp_path: Path, compress: Compress) -> None:
    text = b"".join(b"1 1:%d\n" % i for i in range(2000))
    for suffix in (".bz2", ".gz", ".xz"):
        whole = bytearray(compress[suffix](text))
        whole[len(whole) // 2] ^= 0x10
        assert "truncated or corrupt" in _refusal(_write(tmp_path, bytes(whole), f"bent{suffix}"))
        assert "truncated or corrupt" in _refusal(
            _write(tmp_path, compress[suffix](text) + b"rubbish", f"long{suffix}")
        )
        assert f"holds no {suffix} stream" in _refusal(_write(tmp_path, text, f"plain{suffix}"))


def test_a_pickle_is_only_text(tmp_path: Path) -> None:
    assert "line 1" in _refusal(_write(tmp_path, b"cos\nsystem\n(S'exit 1'\ntR."))


def test_zero_padding_after_gzip_is_no_damage(tmp_path: Path) -> None:
    assert data.load_file(_write(tmp_path, gzip.compress(TEXT) + b"\0" * 512, "tape.gz")).rows == 4
