"""Registered sets of images: where they are looked for, what is checked, how they are fetched; and made-up ones."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_image_readers import cifar_100_file, cifar_file, idx_file

import data
from data import cache, fetch, files, registry
from data.generators import smooth_images
from data.registry import Entry, ImageEntry

Compress = dict[str, Callable[[bytes], bytes]]

SOURCE = np.random.default_rng(0)
IMAGES = SOURCE.integers(0, 256, (5, 4, 3), dtype=np.uint8)
LABELS = np.array([0, 2, 1, 1, 0])
CIFAR_IMAGES = SOURCE.integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
CIFAR_LABELS = np.array([4, 4, 0, 9, 0, 9])


def _file(name: str, file: str, content: bytes, rows: int, features: int, *, md5: bool = False) -> Entry:
    digest, weak = hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest()
    told = None if md5 else digest, len(content), rows, features, 3, f"https://x/{file}", "free", "1"
    return Entry(name, f"{name}/{file}", *told, raw_md5=weak if md5 else None)


CONTENTS = {
    "train-images": idx_file(IMAGES[:3]),
    "train-labels": idx_file(LABELS[:3]),
    "test-images": idx_file(IMAGES[3:]),
    "test-labels": idx_file(LABELS[3:]),
}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> ImageEntry:
    """A set of 3 + 2 images in IDX files."""
    entries = [
        _file("tiny", f"{name}.gz", content, 3 if "train" in name else 2, 12 if "images" in name else 1)
        for name, content in CONTENTS.items()
    ]
    known = ImageEntry("tiny", "idx", (1, 4, 3), 3, (entries[0], entries[1]), (entries[2], entries[3]))
    monkeypatch.setitem(registry.IMAGES, "tiny", known)
    return known


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> ImageEntry:
    """A set like CIFAR-10, known by its MD5, in two training files and one test file, with an archive."""
    contents = {f"{k}.bin": cifar_file(CIFAR_IMAGES[2 * k :][:2], CIFAR_LABELS[2 * k :][:2]) for k in range(3)}
    entries = [_file("colours", name, content, 2, 3072, md5=True) for name, content in contents.items()]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in {**contents, "readme.html": b"<p>"}.items():
            member = tarfile.TarInfo(f"batches/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(fetch, "_blocks", lambda known: iter([packed.getvalue()]))
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    known = ImageEntry(
        "colours", "cifar", (3, 32, 32), 10, tuple(entries[:2]), (entries[2],), "https://x/all.tar.gz", digest
    )
    monkeypatch.setitem(registry.IMAGES, "colours", known)
    return known


def _put(contents: dict[str, bytes], set_name: str = "tiny") -> Path:
    folder = files.DOWNLOADS / set_name
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def _refusal(name: str) -> str:
    with pytest.raises(data.DataError) as caught:
        data.load_images(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_set_is_found_under_any_compression(tiny: ImageEntry, suffix: str, compress: Compress) -> None:
    assert not data.images_available("tiny")
    _put({name + suffix: compress[suffix](content) for name, content in CONTENTS.items()})
    assert data.images_available("tiny")
    for _ in range(2):  # read, then from the cache
        found = data.load_images("tiny")
        assert (found.name, found.shape, found.classes, found.white) == ("tiny", (1, 4, 3), 3, 255)
        for array, wanted in (
            (found.images, IMAGES[:3, None]),
            (found.labels, LABELS[:3]),
            (found.test_images, IMAGES[3:, None]),
            (found.test_labels, LABELS[3:]),
        ):
            assert array.dtype == np.uint8
            np.testing.assert_array_equal(array, wanted)
        assert found.digest == data.images_digest("tiny")
    assert len(list(cache.FOLDER.glob("*.npz"))) == 4


def test_a_file_that_is_not_the_registered_one_is_refused(tiny: ImageEntry) -> None:
    folder = _put(CONTENTS)
    data.load_images("tiny")  # now in the cache
    (folder / "test-labels").write_bytes(idx_file(np.array([2, 2])))
    message = _refusal("tiny")
    assert "has the SHA-256" in message
    assert "delete the file, then run `make data SETS=tiny`" in message
    assert not data.images_available("tiny")
    (folder / "test-labels").unlink()
    assert "no tiny/test-labels.gz in" in _refusal("tiny")


def test_a_digest_corrected_in_the_registry_is_noticed(tiny: ImageEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    _put(CONTENTS)
    data.load_images("tiny")
    wrong = (dataclasses.replace(tiny.train[0], raw_sha256="0" * 64), tiny.train[1])
    monkeypatch.setitem(registry.IMAGES, "tiny", dataclasses.replace(tiny, train=wrong))
    assert "where tiny/train-images.gz of tiny has 000000000000...: delete" in _refusal("tiny")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train-labels": idx_file(LABELS[:2])}, "of the same length"),
        ({"train-images": idx_file(IMAGES[:3].reshape(-1))}, "images need three and labels one"),
        ({"train-labels": idx_file(LABELS[:3].reshape(3, 1))}, "images need three and labels one"),
        ({"train-labels": idx_file(np.array([0, 3, 1]))}, "labels up to 3"),
        ({"train-images": idx_file(IMAGES[:3].reshape(3, 3, 4))}, r"of \(1, 3, 4\)"),
        ({"train-images": idx_file(IMAGES[:2]), "train-labels": idx_file(LABELS[:2])}, "has 2 images"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tiny: ImageEntry, monkeypatch: pytest.MonkeyPatch, change: dict[str, bytes], said: str
) -> None:
    """With digests that are right, as after a mistake in the registry."""
    contents = {**CONTENTS, **change}
    _put(contents)
    train = tuple(
        dataclasses.replace(entry, raw_sha256=hashlib.sha256(contents[name]).hexdigest())
        for entry, name in zip(tiny.train, ("train-images", "train-labels"), strict=True)
    )
    monkeypatch.setitem(registry.IMAGES, "tiny", dataclasses.replace(tiny, train=train))
    with pytest.raises(data.DataError, match=said):
        data.load_images("tiny")


def test_names_that_are_not_sets_of_images(tiny: ImageEntry) -> None:
    registered = {"mnist", "fashion-mnist", "cifar-10", "cifar-10-subset", "cifar-100", "sklearn/digits"}
    assert {*registered, "tiny"} == set(data.image_names())
    assert "did you mean tiny?" in _refusal("tinny")
    assert "libsvm/a9a is a set of rows, not of images" in _refusal("libsvm/a9a")
    with pytest.raises(data.DataError, match="tiny is a set of images, not of rows"):
        data.load("tiny")


def test_an_archive_is_unpacked_and_verified_by_md5(colours: ImageEntry, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch.main(["--sets", "colours"]) == 0
    assert "colours: fetched and verified, 3 files" in capsys.readouterr().out
    assert sorted(path.name for path in (files.DOWNLOADS / "colours").iterdir()) == ["0.bin", "1.bin", "2.bin"]
    found = data.load_images("colours")
    np.testing.assert_array_equal(found.images, CIFAR_IMAGES[:4])
    np.testing.assert_array_equal(found.test_labels, CIFAR_LABELS[4:])
    assert found.digest == data.images_digest("colours")
    assert fetch.main(["--sets", "colours"]) == 0
    assert capsys.readouterr().out.count("already there") == 3
    (files.DOWNLOADS / "colours" / "1.bin").write_bytes(cifar_file(CIFAR_IMAGES[:2], CIFAR_LABELS[:2]))
    assert "has the MD5" in _refusal("colours")
    assert fetch.main(["--sets", "colours"]) == 1
    assert "delete the file and fetch it again" in capsys.readouterr().err


def test_cifar_100_from_its_archive_to_its_fine_labels(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made-up files in the places and the form of the registered ones."""
    coarse, fine = np.array([3, 19, 0, 7, 7, 1]), np.array([99, 0, 50, 9, 10, 98])
    parts = {"train.bin": slice(0, 4), "test.bin": slice(4, 6)}
    contents = {name: cifar_100_file(CIFAR_IMAGES[part], coarse[part], fine[part]) for name, part in parts.items()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in {**contents, "fine_label_names.txt": b"apple\n"}.items():
            member = tarfile.TarInfo(f"cifar-100-binary/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    monkeypatch.setattr(fetch, "_blocks", lambda known: iter([packed.getvalue()]))
    assert fetch.main(["--sets", "cifar-100"]) == 1, "it is not the registered archive"
    assert "cifar-100-binary.tar.gz has the SHA-256" in capsys.readouterr().err

    def pinned(entry: Entry) -> Entry:
        content = contents[Path(str(entry.file)).name]
        digest = hashlib.sha256(content).hexdigest()
        return dataclasses.replace(entry, raw_sha256=digest, raw_bytes=len(content), rows=len(content) // 3074)

    whole = registry.IMAGES["cifar-100"]
    made_up = dataclasses.replace(
        whole,
        train=(pinned(whole.train[0]),),
        test=(pinned(whole.test[0]),),
        archive_sha256=hashlib.sha256(packed.getvalue()).hexdigest(),
    )
    monkeypatch.setitem(registry.IMAGES, "cifar-100", made_up)
    assert fetch.main(["--sets", "cifar-100"]) == 0
    assert sorted(path.name for path in (files.DOWNLOADS / "cifar-100").iterdir()) == ["test.bin", "train.bin"]
    found = data.load_images("cifar-100")
    assert (found.shape, found.classes) == ((3, 32, 32), 100)
    np.testing.assert_array_equal(found.images, CIFAR_IMAGES[:4])
    np.testing.assert_array_equal(found.labels, fine[:4])
    np.testing.assert_array_equal(found.test_images, CIFAR_IMAGES[4:])
    np.testing.assert_array_equal(found.test_labels, fine[4:])


def test_another_archive_leaves_nothing(
    colours: ImageEntry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fetch, "_blocks", lambda known: iter([b"something else"]))
    assert fetch.main(["--sets", "colours"]) == 1
    assert "https://x/all.tar.gz has the SHA-256" in capsys.readouterr().err
    assert not list(files.DOWNLOADS.rglob("*.bin*"))


def test_a_subset_is_made_from_the_whole(colours: ImageEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, images = CIFAR_LABELS[:4], CIFAR_IMAGES[:4]  # the classes 4, 4, 0, 9; one of each is 3 records
    train, test = cifar_file(images[[0, 2, 3]], labels[[0, 2, 3]]), cifar_file(CIFAR_IMAGES[4:], CIFAR_LABELS[4:])
    entries = [_file("some", f"{part}.bin.xz", content, 10, 3072) for part, content in (("a", train), ("b", test))]
    known = ImageEntry("some", "cifar", (3, 32, 32), 10, (entries[0],), (entries[1],), part_of="colours")
    monkeypatch.setitem(registry.IMAGES, "some", known)
    assert fetch.main(["--sets", "some"]) == 0
    assert (files.DOWNLOADS / "some" / "a.bin").read_bytes() == train
    assert (files.DOWNLOADS / "some" / "b.bin").read_bytes() == test


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar-10-subset"])
def test_real_files_are_the_registered_ones(real_data: Path, name: str) -> None:
    known = registry.IMAGES[name]
    found = data.load_images(name)
    assert (found.images.shape, found.test_images.shape) == (
        (known.rows, *known.shape),
        (known.test_rows, *known.shape),
    )
    counts = np.bincount(found.labels), np.bincount(found.test_labels)
    assert [len(count) for count in counts] == [10, 10]
    assert found.digest == data.images_digest(name)
    for entry in known.files:
        path = files.find(entry)
        assert entry.raw_bytes == len(fetch.decompress(path.read_bytes(), str(path)))
    # As published: balanced but for MNIST, whose training mean is 0.1307.
    if name == "mnist":
        assert found.images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
        assert found.labels[:5].tolist() == [5, 0, 4, 1, 9]
    else:
        assert {int(c) for count in counts for c in count} == {known.rows // 10, known.test_rows // 10}


def test_entries_are_whole() -> None:
    for name, known in registry.IMAGES.items():
        assert known.name == name
        for file in known.files:
            assert file.name == name
            assert (file.raw_sha256 or file.raw_md5) is not None
            assert all((file.source, file.licence, file.version))
        assert (known.rows, known.test_rows) == ((10_000, 2_000) if known.part_of else (known.rows, 10_000))
    assert registry.IMAGES["cifar-10"].rows == registry.IMAGES["cifar-100"].rows == 50_000
    assert [file.raw_bytes for file in registry.IMAGES["cifar-100"].files] == [153_700_000, 30_740_000]


def test_digits_are_the_images_of_the_rows() -> None:
    rows, found = data.load("sklearn/digits"), data.load_images("sklearn/digits")
    assert (found.images.shape, found.test_images.shape, found.white) == ((1437, 1, 8, 8), (360, 1, 8, 8), 16)
    joined = np.concatenate([found.images, found.test_images])
    np.testing.assert_array_equal(joined.reshape(1797, 64), rows.inputs.toarray())
    np.testing.assert_array_equal(np.concatenate([found.labels, found.test_labels]), rows.targets)
    assert found.digest == data.images_digest("sklearn/digits") == rows.digest


def test_smooth_images_without_noise_are_shifted_templates() -> None:
    settings = {"classes": 3, "channels": 2, "side": 9, "noise": 0.0}
    still = smooth_images(9, 3, shift=0, contrast=0.0, **settings)
    assert (still.images.shape, still.test_images.shape, still.classes) == ((9, 2, 9, 9), (3, 2, 9, 9), 3)
    assert still.labels.tolist() == [0, 1, 2] * 3
    templates = still.images[:3]
    np.testing.assert_array_equal(still.images, np.concatenate([templates] * 3))
    np.testing.assert_array_equal(still.test_images, templates)
    assert np.abs(templates.astype(float) / 255 - 0.5).max(axis=(1, 2, 3)) == pytest.approx(0.35, abs=0.002)
    moved = smooth_images(60, 3, shift=2, contrast=0.0, **settings)
    places = set()
    for image, label in zip(moved.images, moved.labels, strict=True):
        rolls = {(y, x): np.roll(templates[label], (y, x), (1, 2)) for y in range(-2, 3) for x in range(-2, 3)}
        (place,) = [at for at, roll in rolls.items() if np.array_equal(roll, image)]
        places.add(place)
    assert len(places) > 15
    assert {y for y, _ in places} == {x for _, x in places} == set(range(-2, 3))


def test_smooth_images_depend_on_their_arguments_alone() -> None:
    first, again, other = (smooth_images(20, 10, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.images, again.images)
    assert first.digest == again.digest != other.digest
    assert np.mean(first.images != other.images) > 0.9
    assert not np.array_equal(first.images[:10], first.test_images)
    noise = smooth_images(2000, 10, noise=0.1, contrast=0.0, shift=0)
    spread = noise.images[noise.labels == 0].astype(float).std(axis=0) / 255
    assert spread.mean() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": 1}, "classes must be"),
        ({"classes": 300}, "classes must be"),
        ({"side": 3}, "side must be"),
        ({"shift": 16}, "shift must be"),
        ({"contrast": 1.5}, "contrast must be"),
        ({"noise": float("nan")}, "noise must be"),
        ({"channels": 0}, "channels must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_smooth_images_refuse_what_cannot_be(change: dict[str, float], said: str) -> None:
    with pytest.raises(data.DataError, match=said):
        smooth_images(20, 10, **change)  # type: ignore[arg-type]
    with pytest.raises(data.DataError, match="examples must be"):
        smooth_images(5, 10)
    with pytest.raises(data.DataError, match="test_examples must be"):
        smooth_images(20, 0)
