"""The cache: the same arrays, never stale, never in the way."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import data
from data import cache, libsvm
from data.dataset import DataSet

TEXT = b"".join(b"%d 1:%d 7:0.125\n" % (1 - 2 * (i % 2), i) for i in range(300))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mine"
    path.write_bytes(TEXT)
    return path


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one entry for each text that is parsed."""
    done: list[str] = []
    parse = libsvm.parse

    def counted(content: bytes, features: int | None, name: str) -> object:
        done.append(name)
        return parse(content, features, name)

    monkeypatch.setattr(libsvm, "parse", counted)
    return done


def _same(one: DataSet, other: DataSet) -> None:
    assert (one.name, one.digest, one.inputs.shape) == (other.name, other.digest, other.inputs.shape)
    for part in ("data", "indices", "indptr"):
        left, right = getattr(one.inputs, part), getattr(other.inputs, part)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    assert one.targets.dtype == other.targets.dtype
    np.testing.assert_array_equal(one.targets, other.targets)


def test_a_hit_equals_a_fresh_parse(path: Path, parses: list[str]) -> None:
    fresh = data.load_file(path, 9)
    again = data.load_file(path, 9)
    assert len(parses) == 1
    _same(fresh, again)
    assert again.inputs.has_sorted_indices
    again.inputs.data[0] = 5.0  # what a caller does to its copy reaches nobody else
    _same(fresh, data.load_file(path, 9))


def test_the_key_has_features_and_parser_version(
    path: Path, parses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [data.load_file(path, features).features for features in (None, 9, 10, 9)] == [7, 9, 10, 9]
    assert len(parses) == 3
    monkeypatch.setattr(libsvm, "VERSION", libsvm.VERSION + 1)
    data.load_file(path, 9)
    assert len(parses) == 4


def test_a_file_changed_in_place_is_read_again(path: Path) -> None:
    before, stamp = data.load_file(path), path.stat().st_mtime_ns
    path.write_bytes(TEXT.replace(b"7:0.125", b"7:0.375", 1))
    os.utime(path, ns=(stamp, stamp))  # same name, size and time
    after = data.load_file(path)
    assert before.digest != after.digest == data.digest_file(path)
    assert (before.inputs[0, 6], after.inputs[0, 6]) == (0.125, 0.375)


def test_the_same_bytes_under_a_wrong_suffix_are_not_served(path: Path) -> None:
    data.load_file(path)
    data.digest_file(path)
    renamed = path.rename(path.with_name("mine.bz2"))
    for call in (data.load_file, data.digest_file):
        with pytest.raises(data.DataError, match=r"holds no \.bz2 stream"):
            call(renamed)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "folderless"])
def test_a_damaged_cache_is_rebuilt_silently(path: Path, parses: list[str], damage: str) -> None:
    fresh = data.load_file(path)
    (stored,) = cache.FOLDER.glob("*.npz")
    good = stored.read_bytes()
    middle = good.index(fresh.inputs.data[100:110].tobytes())
    bad = {
        "cut": good[: len(good) // 2],
        "flip": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        "empty": b"",
        "text": b"not a zip file",
    }
    if damage == "folderless":
        stored.unlink()
        stored.mkdir()
    else:
        stored.write_bytes(bad[damage])
    _same(fresh, data.load_file(path))
    assert len(parses) == 2
    if damage != "folderless":
        assert stored.read_bytes() == good
        _same(fresh, data.load_file(path))
        assert len(parses) == 2


def test_arrays_that_do_not_fit_together_are_not_used(path: Path, parses: list[str]) -> None:
    fresh = data.load_file(path)
    (stored,) = cache.FOLDER.glob("*.npz")
    arrays = cache.read(stored.stem)
    assert arrays is not None
    wrong = {
        "targets": arrays["targets"][:-1],
        "indices": arrays["indices"] + 10**6,
        "shape": np.array([1]),
        "values": arrays["values"].astype(np.float32),
        "starts": arrays["starts"][::-1],
    }
    for count, (name, value) in enumerate(wrong.items(), start=2):
        cache.write(stored.stem, {**arrays, name: value})
        _same(fresh, data.load_file(path))
        assert len(parses) == count, name
    cache.write(stored.stem, {name: value for name, value in arrays.items() if name != "digest"})
    _same(fresh, data.load_file(path))


def test_nothing_is_unpickled(path: Path, parses: list[str]) -> None:
    fresh = data.load_file(path)
    (stored,) = cache.FOLDER.glob("*.npz")
    np.savez(stored, targets=np.array([object()], dtype=object), allow_pickle=True)
    assert cache.read(stored.stem) is None
    _same(fresh, data.load_file(path))
    assert len(parses) == 2


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_nothing_and_fails_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[failing], full)
    assert data.load_file(path).rows == 300
    assert list(cache.FOLDER.iterdir()) == []


def test_a_killed_write_leaves_no_entry(path: Path, monkeypatch: pytest.MonkeyPatch, parses: list[str]) -> None:
    """The entry's name must not exist before its bytes are complete and on disk."""
    seen: list[list[str]] = []
    fsync = os.fsync

    def looked(descriptor: int) -> None:
        fsync(descriptor)
        seen.append(sorted(file.suffix for file in cache.FOLDER.iterdir()))

    monkeypatch.setattr(os, "fsync", looked)
    data.load_file(path)
    assert seen == [[".tmp"]]
    assert [file.suffix for file in cache.FOLDER.iterdir()] == [".npz"]


def test_a_folder_that_cannot_be_made_is_no_error(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "occupied").write_text("a file where the folder should be")
    monkeypatch.setattr(cache, "FOLDER", tmp_path / "occupied" / "cache")
    assert data.load_file(path).rows == 300
    assert data.digest_file(path)
