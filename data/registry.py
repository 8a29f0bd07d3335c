"""The data sets that are known by name: where each comes from, what it must hold, and under which terms.

`raw_sha256` is the SHA-256 of the decompressed file. Where it is None the file was not at hand when the entry was
written: then a published MD5, or else rows and features, are all that can be checked.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from data.errors import DataError

_PAGE = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/"
_UCI = "none stated on the LIBSVM page; derived from a UCI set (CC BY 4.0)"
_NONE = "none stated on the LIBSVM page"
_SEEN = "content as of 2026-11-20"
_UNSEEN = "not pinned"


@dataclass(frozen=True)
class Entry:
    """One registered set.

    file: path below the data folder, or None for a set that comes with a library.
    raw_bytes: size of the decompressed file (None when unknown, or without a file).
    classes: number of distinct labels.
    """

    name: str
    file: str | None
    raw_sha256: str | None
    raw_bytes: int | None
    rows: int
    features: int
    classes: int
    source: str
    licence: str
    version: str
    note: str = ""
    raw_md5: str | None = None


@dataclass(frozen=True)
class ImageEntry:
    """One registered set of images, kept in several files; each is an `Entry` with the name of the set.

    form: "idx" (a file of images, then one of labels), or records of both in any number of files, with one label
    ("cifar") or two ("cifar-100").
    shape: channels, height, width. archive: the address of one file that holds all of them, where there is one.
    archive_sha256: of that file as it is downloaded. part_of: the set that this one is the first images of.
    """

    name: str
    form: Literal["idx", "cifar", "cifar-100"]
    shape: tuple[int, int, int]
    classes: int
    train: tuple[Entry, ...]
    test: tuple[Entry, ...]
    archive: str = ""
    archive_sha256: str = ""
    part_of: str = ""

    @property
    def files(self) -> tuple[Entry, ...]:
        """All files, those of the training part first."""
        return self.train + self.test

    @property
    def rows(self) -> int:
        """Training images."""
        return _images(self.train)

    @property
    def test_rows(self) -> int:
        """Test images."""
        return _images(self.test)


def _images(part: tuple[Entry, ...]) -> int:
    return sum(file.rows for file in part if file.features > 1)


def _libsvm(
    file: str,
    rows: int,
    features: int,
    raw_bytes: int | None,
    raw_sha256: str | None,
    *,
    page: str,
    classes: int = 2,
    licence: str = _UCI,
    note: str = "",
) -> Entry:
    return Entry(
        name="libsvm/" + file.removesuffix(".bz2"),
        file="libsvm/" + file,
        raw_sha256=raw_sha256,
        raw_bytes=raw_bytes,
        rows=rows,
        features=features,
        classes=classes,
        source=_PAGE + page,
        licence=licence,
        version=_SEEN if raw_sha256 else _UNSEEN,
        note=note,
    )


_REBUILT = "pinned from a copy whose relabelling was undone, checked against a9a"
_SECTOR = "none stated on the LIBSVM page; from McCallum and Nigam"

# fmt: off
_ALL = (
    _libsvm("a1a.bz2", 1605, 123, 114818, "eb54c45f1bdb51286f803dd092eb8202b44637a858fc6c4e533a2d64a0d94b4e",
            page="binary/a1a"),
    _libsvm("a4a.bz2", 4781, 123, 342050, "694d5abff492bdb8ce9749ddf3bf5af1c6f1f0ad6e3a0ae7818000d4d4c4847b",
            page="binary/a4a", note=f"largest index in the file is 122; {_REBUILT}"),
    _libsvm("a4a.t.bz2", 27780, 123, 1987825, "23fef5e5ac0d1bc17a4ac55a16c03d361e41e890a83595a3e7da6eca9660e4bf",
            page="binary/a4a.t", note=_REBUILT),
    _libsvm("a5a.bz2", 6414, 123, 458892, "5cb3a6603de0a0eb43afcdd45b1820c71ee7f20da1c09f054696bb71cbc45ad8",
            page="binary/a5a"),
    _libsvm("a6a.bz2", 11220, 123, None, None, page="binary/a6a"),
    _libsvm("a8a.bz2", 22696, 123, 1624166, "d08a37b3fadd4bd3c8b3fc30bdc93b54d7c0f371265c90cbfb931a7efe97cd28",
            page="binary/a8a"),
    _libsvm("a9a.bz2", 32561, 123, 2329875, "f5d5ffd8d865ff41328e7ee043e4b020816914ff6843ff15b98905ddbedce906",
            page="binary/a9a"),
    _libsvm("a9a.t.bz2", 16281, 123, 1164628, "1f448a153f0320399a7e40836eb207655b0bde0f21fc941cc472193daa9f5de9",
            page="binary/a9a.t", note="largest index in the file is 122"),
    _libsvm("mushrooms.bz2", 8124, 112, 879712, "f39a4eb628dc61a7d43760815b061c9e497aa728ce1ad8bde57a09ef6043b538",
            page="binary/mushrooms", note="labels 1 (poisonous) and 2 (edible)"),
    _libsvm("w8a.bz2", 49749, 300, 3478238, "6a9fa8fd5f524303240a5db07d4b3d4a51e8b7b4b20a914105d8e3e8c81640f2",
            page="binary/w8a", licence=f"{_NONE}; from J. Platt 1998", note="some rows have no non-zero feature"),
    _libsvm("phishing.bz2", 11055, 68, 3620168, "0cf66ef36604c393da9359b2e5d894a2df8aee31fd184633cefa138add2ef08a",
            page="binary/phishing", note="labels 0 and 1; pinned from a single copy with its line ends made LF"),
    _libsvm("ijcnn1.val.bz2", 14990, 22, 2355088, "87b64ee77f4e0cb0d04e93ec7c292a669a8ad9f4ccfd85034bfef4810526b34a",
            page="binary/ijcnn1.val.bz2", licence=f"{_NONE}; from the IJCNN 2001 challenge",
            note="the official validation part only"),
    _libsvm("real-sim.bz2", 72309, 20958, None, None, page="binary/real-sim.bz2",
            licence=f"{_NONE}; from A. McCallum"),
    _libsvm("rcv1_train.binary.bz2", 20242, 47236, None, None, page="binary/rcv1_train.binary.bz2",
            licence=f"{_NONE}; derived from Reuters RCV1"),
    _libsvm("news20.bz2", 15935, 62061, 9003251, "1d6eb77c42e1c78e86f36af834268de933da3607f38e3703aef15f7a9f11e506",
            page="multiclass/news20.bz2", classes=20, licence=f"{_NONE}; from K. Lang",
            note="labels 1 to 20; not the set news20.binary"),
    _libsvm("sector.scale.bz2", 6412, 55197, 12995283,
            "92d5752b798bb88466b7142b07fc370eea99b19366b84e82e430fb74ada4293f",
            page="multiclass/sector/sector.scale.bz2", classes=105, licence=_SECTOR, note="labels 1 to 105"),
    _libsvm("sector.t.scale.bz2", 3207, 55197, 6524206,
            "be2e76ff48816c832823ab593e70970c599acb16ae311578b7308c6a8496db1b",
            page="multiclass/sector/sector.t.scale.bz2", classes=105, licence=_SECTOR, note="labels 1 to 105"),
    Entry("sklearn/breast_cancer", None, "f8298b83e68e97bf87f7abdbaa21cfb45c4b59c5ba9f6f0942c1359027b1a71c",
          None, 569, 30, 2, "https://archive.ics.uci.edu/dataset/17/breast+cancer+wisconsin+diagnostic",
          "CC BY 4.0", "as bundled with scikit-learn", "labels 0 (malignant) and 1 (benign); digest of the arrays"),
    Entry("sklearn/digits", None, "82a971aaf66d8774974dc529d861f11a911199a293dd2c8eb9e788ad3466d57b",
          None, 1797, 64, 10, "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
          "CC BY 4.0", "as bundled with scikit-learn", "labels 0 to 9, pixels 0 to 16; digest of the arrays"),
)
# fmt: on

ENTRIES: dict[str, Entry] = {entry.name: entry for entry in _ALL}


def _idx(name: str, address: str, licence: str, note: str, digests: tuple[str, str, str, str]) -> ImageEntry:
    """A set of the size and in the files of MNIST; digests of training images, labels, test images, labels."""
    files = []
    for position, raw_sha256 in enumerate(digests):
        part, rows = (("train", 60_000), ("t10k", 10_000))[position // 2]
        kind, features, header = (("images-idx3", 784, 16), ("labels-idx1", 1, 8))[position % 2]
        file = f"{part}-{kind}-ubyte.gz"
        size = header + rows * features
        told = (address + file, licence, _SEEN, note)
        files.append(Entry(name, f"{name}/{file}", raw_sha256, size, rows, features, 10, *told))
    return ImageEntry(name, "idx", (1, 28, 28), 10, (files[0], files[1]), (files[2], files[3]))


_CIFAR = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"


def _cifar(name: str, file: str, rows: int, raw_sha256: str | None, raw_md5: str | None, note: str) -> Entry:
    return Entry(
        name=name,
        file=f"cifar-10/{file}",
        raw_sha256=raw_sha256,
        raw_bytes=3073 * rows,
        rows=rows,
        features=3072,
        classes=10,
        source=_CIFAR,
        licence="none stated; cite Krizhevsky 2009",
        version="binary version",
        note=note,
        raw_md5=raw_md5,
    )


_CIFAR_100 = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"


def _cifar_100(file: str, rows: int, raw_sha256: str) -> Entry:
    return Entry(
        name="cifar-100",
        file=f"cifar-100/{file}",
        raw_sha256=raw_sha256,
        raw_bytes=3074 * rows,
        rows=rows,
        features=3072,
        classes=100,
        source=_CIFAR_100,
        licence="none stated; cite Krizhevsky 2009",
        version="binary version",
        note="not at hand when the entry was written: SHA-256 as published in a port of torchvision; fine labels",
    )


_FULL = "SHA-256 not known beforehand: MD5 as published"
_SUBSET = "first images of each class in the original order; not comparable with published numbers"

# fmt: off
_IMAGES = (
    _idx("mnist", "https://ossci-datasets.s3.amazonaws.com/mnist/",
         "CC BY-SA 3.0 as commonly stated (LeCun, Cortes, Burges)",
         "a mirror of yann.lecun.com/exdb/mnist, which does not always answer",
         ("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
          "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
          "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
          "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2")),
    _idx("fashion-mnist", "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
         "MIT (Zalando SE)", "",
         ("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
          "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
          "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
          "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34")),
    ImageEntry(
        "cifar-10", "cifar", (3, 32, 32), 10,
        (_cifar("cifar-10", "data_batch_1.bin", 10_000, None, "5dd7e06a14cb22eb9f671a540d1b7c25", _FULL),
         _cifar("cifar-10", "data_batch_2.bin", 10_000, None, "5ea93a67294ea407fff1d09f752e9692", _FULL),
         _cifar("cifar-10", "data_batch_3.bin", 10_000, None, "942cd6a4bcdd0dd3c604fbe906cb4421", _FULL),
         _cifar("cifar-10", "data_batch_4.bin", 10_000, None, "ae636b3ba5c66a11e91e8cb52e771fcb", _FULL),
         _cifar("cifar-10", "data_batch_5.bin", 10_000, None, "53f37980c15c3d472c316c40844f3f0d", _FULL)),
        (_cifar("cifar-10", "test_batch.bin", 10_000, None, "803d5f7f4d78ea53de84dbe85f74fb6d", _FULL),),
        archive=_CIFAR,
        archive_sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    ImageEntry(
        "cifar-100", "cifar-100", (3, 32, 32), 100,
        (_cifar_100("train.bin", 50_000, "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"),),
        (_cifar_100("test.bin", 10_000, "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"),),
        archive=_CIFAR_100,
        archive_sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ),
    ImageEntry(
        "cifar-10-subset", "cifar", (3, 32, 32), 10,
        (_cifar("cifar-10-subset", "subset_train.bin.xz", 10_000,
                "f66cbe5c51b5151ff1a1eddefa9c29ac36c8d7b8f37097013ac89599a2fdc8be", None, _SUBSET),),
        (_cifar("cifar-10-subset", "subset_test.bin.xz", 2_000,
                "d712dafdc2fe14d03bbb9975b357332d94966d33e98c761f84336233c80189c8", None, _SUBSET),),
        part_of="cifar-10",
    ),
)
# fmt: on

IMAGES: dict[str, ImageEntry] = {entry.name: entry for entry in _IMAGES}


def entry(name: str) -> Entry:
    """The registered set called `name`. Raises DataError with the nearest names if there is none."""
    if name in ENTRIES:
        return ENTRIES[name]
    if name in IMAGES:
        raise DataError(f"{name} is a set of images, not of rows: choose a task=images/... for it")
    raise DataError(f"there is no data set called {name!r}: {near(name, ENTRIES)}")


def near(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: those of the known ones that look like it."""
    # Compared without "libsvm/", which would make all of them look alike.
    short = {one.rpartition("/")[2]: one for one in known}
    found = [short[one] for one in difflib.get_close_matches(name.rpartition("/")[2].lower(), short)]
    return f"did you mean {' or '.join(found)}?" if found else "`python -m data.fetch --list` shows the names"
