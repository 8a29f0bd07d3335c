"""Downloads from a server on this machine: whole, cut short, wrong, absent."""

from __future__ import annotations

import bz2
import contextlib
import dataclasses
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import data
from data import fetch, files, registry

TEXT = b"1 1:1 3:2\n-1 2:4\n" * 5000
DIGEST = hashlib.sha256(TEXT).hexdigest()
PAGES = {
    "/tiny": TEXT,
    "/tiny.bz2": bz2.compress(TEXT),
    "/other": TEXT[:-18],
    "/page": b"<html>log in</html>",
    "/nil": b"",
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        mode, _, page = self.path[1:].partition("/")
        content = PAGES.get("/" + page)
        if content is None:
            self.send_error(404, "Not Found")
            return
        sent = content[: len(content) * 2 // 3] if mode.endswith("cut") else content
        self.send_response(200)
        if mode.startswith("chunked"):
            self.send_header("Transfer-Encoding", "chunked")
        elif mode != "unsized-cut":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if mode.startswith("chunked"):
            end = b"" if mode.endswith("cut") else b"\r\n0\r\n\r\n"
            sent = b"%x\r\n" % len(content) + sent + end
        self.wfile.write(sent)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


def _register(monkeypatch: pytest.MonkeyPatch, source: str, digest: str | None = DIGEST) -> registry.Entry:
    entry = registry.Entry("libsvm/tiny", "libsvm/tiny.bz2", digest, None, 10000, 3, 2, source, "free", "1")
    monkeypatch.setitem(registry.ENTRIES, entry.name, entry)
    return entry


def _left() -> list[str]:
    return sorted(path.name for path in files.DOWNLOADS.rglob("*") if path.is_file())


@pytest.mark.parametrize(("page", "kept"), [("tiny", "tiny"), ("tiny.bz2", "tiny.bz2")])
@pytest.mark.parametrize("mode", ["sized", "chunked"])
def test_a_whole_download_is_kept_and_loads(
    monkeypatch: pytest.MonkeyPatch, address: str, capsys: pytest.CaptureFixture[str], page: str, kept: str, mode: str
) -> None:
    _register(monkeypatch, f"{address}/{mode}/{page}")
    assert fetch.main(["--sets", "libsvm/tiny"]) == 0
    assert "fetched and verified" in capsys.readouterr().out
    assert _left() == [kept]
    assert data.load("libsvm/tiny").digest == DIGEST
    assert fetch.main(["--sets", "libsvm/tiny,sklearn/breast_cancer"]) == 0
    out = capsys.readouterr().out
    assert "already there" in out
    assert "nothing to download" in out


@pytest.mark.parametrize("page", ["tiny", "tiny.bz2"])
@pytest.mark.parametrize("mode", ["cut", "chunked-cut", "unsized-cut"])
@pytest.mark.parametrize("digest", [DIGEST, None], ids=["known", "unknown"])
def test_a_download_cut_short_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    capsys: pytest.CaptureFixture[str],
    page: str,
    mode: str,
    digest: str | None,
) -> None:
    _register(monkeypatch, f"{address}/{mode}/{page}", digest)
    assert fetch.main(["--sets", "libsvm/tiny"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    if mode != "unsized-cut":
        assert "broke off" in said.err
    assert _left() == []
    assert not data.available("libsvm/tiny")


@pytest.mark.parametrize(
    ("page", "digest", "fact"),
    [
        ("other", DIGEST, f"{DIGEST[:12]}"),
        ("other", None, "9998 rows"),
        ("page", None, "line 1"),
        ("nil", None, "broke off"),
        ("absent", DIGEST, "404 Not Found"),
    ],
)
def test_wrong_content_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    capsys: pytest.CaptureFixture[str],
    page: str,
    digest: str | None,
    fact: str,
) -> None:
    _register(monkeypatch, f"{address}/sized/{page}", digest)
    assert fetch.main(["--sets", "libsvm/tiny", "sklearn/breast_cancer"]) == 1
    said = capsys.readouterr()
    assert fact in said.err
    assert said.err.count("\n") == 1
    assert "sklearn/breast_cancer" in said.out, "one bad set does not stop the others"
    assert _left() == []


def test_an_unknown_digest_is_printed(
    monkeypatch: pytest.MonkeyPatch, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _register(monkeypatch, f"{address}/sized/tiny.bz2", None)
    assert fetch.main(["--sets", "libsvm/tiny"]) == 0
    out = capsys.readouterr().out
    assert "not known" in out
    assert DIGEST in out


def test_a_bad_file_already_there_is_told_and_left_alone(
    monkeypatch: pytest.MonkeyPatch, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _register(monkeypatch, f"{address}/sized/tiny")
    (files.DOWNLOADS / "libsvm").mkdir(parents=True)
    (files.DOWNLOADS / "libsvm" / "tiny.bz2").write_bytes(PAGES["/tiny.bz2"][:-10])
    assert fetch.main(["--sets", "libsvm/tiny"]) == 1
    assert "truncated or corrupt" in capsys.readouterr().err
    assert _left() == ["tiny.bz2"]


def test_the_name_appears_only_after_verification(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    entry = _register(monkeypatch, f"{address}/sized/tiny")
    seen: list[list[str]] = []

    def looked(*_: object) -> str:
        seen.append(_left())
        raise data.DataError("stop here")

    monkeypatch.setattr(fetch, "check_text", looked)
    with contextlib.suppress(data.DataError):
        fetch.fetch(entry, files.DOWNLOADS)
    ((name,),) = seen
    assert name.endswith(".part")
    assert files.find_in(files.DOWNLOADS, "libsvm/tiny.bz2") is None
    assert _left() == []


def test_a_disk_that_fails_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _register(monkeypatch, f"{address}/sized/tiny")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert fetch.main(["--sets", "libsvm/tiny"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert _left() == []


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_no_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _register(monkeypatch, f"http://127.0.0.1:{_closed_port()}/tiny")
    other = dataclasses.replace(registry.ENTRIES["libsvm/tiny"], name="libsvm/tinier", file="libsvm/tinier.bz2")
    monkeypatch.setitem(registry.ENTRIES, other.name, other)
    assert fetch.main(["--sets", "libsvm/tiny", "libsvm/tinier"]) == 1
    said = capsys.readouterr()
    assert said.err.count("\n") == 1, "the second set is not tried"
    assert "cannot be reached" in said.err
    assert "DATA_DIR" in said.err
    assert _left() == []


def test_an_unknown_set_stops_before_any_download(
    monkeypatch: pytest.MonkeyPatch, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _register(monkeypatch, f"{address}/sized/tiny")
    assert fetch.main(["--sets", "libsvm/tiny", "libsvm/tinny"]) == 1
    assert "did you mean libsvm/tiny?" in capsys.readouterr().err
    assert _left() == []


def test_list_names_every_set(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == sorted([*data.names(), *registry.IMAGES])
    (bundled,) = (line for line in lines if line.startswith("sklearn/breast_cancer"))
    assert bundled.split()[1:5] == ["569", "30", "2", "yes"]
    (a9a,) = (line for line in lines if line.startswith("libsvm/a9a "))
    assert a9a.split()[1:5] == ["32,561", "123", "2", "no"]
    monkeypatch.setenv("DATA_DIR", "/nowhere/at/all")
    assert fetch.main(["--list"]) == 1
    assert "DATA_DIR" in capsys.readouterr().err


def test_the_command_line_shows_no_traceback() -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "data.fetch", "--sets", "libsvm/nothing"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("there is no data set called 'libsvm/nothing'")
    assert done.stderr.count("\n") == 1
