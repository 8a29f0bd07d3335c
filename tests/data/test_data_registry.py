"""Registered sets: names, where they are looked for, and what is checked."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import data
from data import files, registry

Compress = dict[str, Callable[[bytes], bytes]]

TEXT = b"1 1:1 3:2\n-1 2:4\n"
# The largest take seconds each to parse.
AT_HAND = [
    pytest.param(name, marks=pytest.mark.slow if (entry.raw_bytes or 0) > 5_000_000 else ())
    for name, entry in sorted(registry.ENTRIES.items())
    if entry.file and entry.raw_sha256
]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> registry.Entry:
    """A registered set small enough to write here; its largest index (3) is below its features (5)."""
    digest = hashlib.sha256(TEXT).hexdigest()
    entry = registry.Entry("libsvm/tiny.t", "libsvm/tiny.t.bz2", digest, len(TEXT), 2, 5, 2, "https://x/tiny.t", "", "")
    monkeypatch.setitem(registry.ENTRIES, entry.name, entry)
    return entry


def _put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_found_under_any_compression_and_in_data_dir(
    tiny: registry.Entry, suffix: str, compress: Compress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not data.available(tiny.name)
    _put(tmp_path / "downloads", "libsvm/tiny.t" + suffix, compress[suffix](TEXT))
    assert data.available(tiny.name)
    tiny_set = data.load(tiny.name)
    assert (tiny_set.name, tiny_set.rows, tiny_set.features, tiny_set.digest) == (tiny.name, 2, 5, tiny.raw_sha256)
    np.testing.assert_array_equal(tiny_set.inputs.toarray(), [[1, 0, 2, 0, 0], [0, 4, 0, 0, 0]])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("DATA_DIR", str(elsewhere))  # then it is the only folder looked in
    assert not data.available(tiny.name)
    _put(elsewhere, "libsvm/tiny.t" + suffix, compress[suffix](TEXT))
    assert data.load(tiny.name).rows == 2


def test_missing_file_names_set_file_folder_and_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(data.DataError) as caught:
        data.load("libsvm/a9a")
    facts = ["libsvm/a9a", "libsvm/a9a.bz2", str(tmp_path / "downloads"), "`make data SETS=libsvm/a9a`", "DATA_DIR"]
    assert [fact for fact in facts if fact not in str(caught.value)] == []
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    with pytest.raises(data.DataError) as caught:
        data.load("libsvm/a9a")
    facts = ["libsvm/a9a", "libsvm/a9a.bz2", str(tmp_path), "`make data SETS=libsvm/a9a`", "unset DATA_DIR"]
    assert [fact for fact in facts if fact not in str(caught.value)] == []


def test_data_dir_must_be_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(data.DataError, match=r"DATA_DIR is .*nowhere.* not a folder"):
        data.load("libsvm/a9a")
    assert not data.available("libsvm/a9a")
    assert data.load("sklearn/breast_cancer").rows == 569
    monkeypatch.setenv("DATA_DIR", "")
    assert files.folder() == files.DOWNLOADS


def test_wrong_digest_is_refused_with_both(tiny: registry.Entry, tmp_path: Path) -> None:
    other = TEXT.replace(b"4", b"5")
    path = _put(tmp_path / "downloads", "libsvm/tiny.t", other)
    data.load_file(path, 5)  # in the cache now, which must not let it through
    for _ in range(2):
        with pytest.raises(data.DataError) as caught:
            data.load(tiny.name)
        facts = [str(path), hashlib.sha256(other).hexdigest()[:12], str(tiny.raw_sha256)[:12], tiny.name, "delete"]
        assert [fact for fact in facts if fact not in str(caught.value)] == []
    assert not data.available(tiny.name)
    assert data.digest(tiny.name) == tiny.raw_sha256
    path.write_bytes(b"not even text")
    with pytest.raises(data.DataError, match="SHA-256"):
        data.load(tiny.name)


@pytest.mark.parametrize(
    ("rows", "features", "fact"),
    [(3, 5, "2 rows and 5 features"), (1, 5, "has 1 and 5"), (2, 2, "beyond the 2 features stated")],
)
def test_rows_and_features_are_checked_where_no_digest_is_known(
    tiny: registry.Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, features: int, fact: str
) -> None:
    unknown = dataclasses.replace(tiny, raw_sha256=None, raw_bytes=None)
    monkeypatch.setitem(registry.ENTRIES, tiny.name, unknown)
    _put(tmp_path / "downloads", "libsvm/tiny.t", TEXT)
    assert data.load(tiny.name).digest == data.digest(tiny.name) == tiny.raw_sha256
    monkeypatch.setitem(registry.ENTRIES, tiny.name, dataclasses.replace(unknown, rows=rows, features=features))
    with pytest.raises(data.DataError, match=fact):
        data.load(tiny.name)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("a9a", "libsvm/a9a"),
        ("sklearn/A9A", "libsvm/a9a"),
        ("libsvm/a9", "libsvm/a9a"),
        ("breast_cancer", "sklearn/breast_cancer"),
        ("sklearn/digit", "sklearn/digits"),
        ("qqq", "--list"),
    ],
)
def test_unknown_name_gets_the_nearest(name: str, near: str) -> None:
    for call in (data.load, data.digest, data.available):
        with pytest.raises(data.DataError) as caught:
            call(name)
        assert repr(name) in str(caught.value)
        assert near in str(caught.value)


def test_breast_cancer_is_bundled() -> None:
    from sklearn.datasets import load_breast_cancer

    inputs, targets = load_breast_cancer(return_X_y=True)
    bundled = data.load("sklearn/breast_cancer")
    np.testing.assert_array_equal(bundled.inputs.toarray(), inputs)
    np.testing.assert_array_equal(bundled.targets, targets)
    assert bundled.targets.dtype == np.float64
    assert bundled.digest == data.digest("sklearn/breast_cancer")
    assert data.available("sklearn/breast_cancer")


def test_digits_are_bundled() -> None:
    from sklearn.datasets import load_digits

    inputs, targets = load_digits(return_X_y=True)
    for _ in range(2):  # from scikit-learn, then from the cache
        digits = data.load("sklearn/digits")
        np.testing.assert_array_equal(digits.inputs.toarray(), inputs)
        np.testing.assert_array_equal(digits.targets, targets)
        assert digits.digest == data.digest("sklearn/digits")
    entry = registry.ENTRIES["sklearn/digits"]
    assert digits.inputs.shape == (entry.rows, entry.features) == (1797, 64)
    assert set(digits.targets) == set(range(entry.classes))


def test_another_scikit_learn_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = dataclasses.replace(registry.ENTRIES["sklearn/breast_cancer"], raw_sha256="0" * 64)
    monkeypatch.setitem(registry.ENTRIES, entry.name, entry)
    with pytest.raises(data.DataError, match=r"scikit-learn has the SHA-256 .* 000000000000"):
        data.load(entry.name)


def test_entries_are_complete() -> None:
    assert data.names() == sorted(registry.ENTRIES)
    for name, entry in registry.ENTRIES.items():
        assert entry.name == name
        assert entry.source.startswith("https://")
        assert entry.licence
        assert entry.version
        assert min(entry.rows, entry.features) > 0
        assert entry.classes >= 2
        if entry.file is not None:
            assert entry.file == name + ".bz2"
            assert (entry.raw_sha256 is None) == (entry.raw_bytes is None)
        if entry.raw_sha256 is not None:
            assert len(bytes.fromhex(entry.raw_sha256)) == 32
    assert len({entry.source for entry in registry.ENTRIES.values()}) == len(registry.ENTRIES)


@pytest.mark.parametrize("name", AT_HAND)
def test_entries_agree_with_the_real_files(real_data: Path, name: str) -> None:
    entry = registry.ENTRIES[name]
    assert entry.file is not None
    if not (real_data / entry.file).exists():
        pytest.skip(f"DATA_DIR has no {entry.file}")
    loaded = data.load(name)  # checks digest, rows and features
    assert data.available(name)
    assert data.digest_file(real_data / entry.file) == loaded.digest == entry.raw_sha256
    assert len(np.unique(loaded.targets)) == entry.classes
    assert loaded.inputs.has_canonical_format


def test_a9a_has_its_published_counts(real_data: Path) -> None:
    a9a = data.load("libsvm/a9a")
    assert (a9a.inputs.shape, a9a.inputs.nnz) == ((32561, 123), 451592)
    assert [int((a9a.targets == label).sum()) for label in (-1, 1)] == [24720, 7841]


def test_import_is_light() -> None:
    code = "import sys, data; print([m for m in ('torch', 'sklearn', 'scipy', 'pandas') if m in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
