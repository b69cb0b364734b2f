"""The store on a real bazel-remote, and what the server in the tests answers is what that one answers."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from sage_wheels.store import action_result
from sage_wheels.store.action_result import OutputFile
from support.bazel import Bazel
from support.homes import CONTENT, KEY, OTHER, Home, keys, trusting
from support.servers import certify, free_port, listening, set_password

pytest.importorskip("urllib3", reason="urllib3 is not installed")
pytest.importorskip("cryptography", reason="cryptography is not installed")

PROGRAM = os.environ.get("BAZEL_REMOTE") or shutil.which("bazel-remote")
needs_it = pytest.mark.skipif(not PROGRAM, reason="bazel-remote is not on PATH, and $BAZEL_REMOTE does not name it")

X, X_DIGEST = b"x", hashlib.sha256(b"x").hexdigest()
Y, Y_DIGEST = b"y", hashlib.sha256(b"y").hexdigest()
NOTHING = hashlib.sha256(b"").hexdigest()


class Process(NamedTuple):
    """A bazel-remote that runs, at `url`."""

    url: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def bazel_remote(place: Path, *options: str) -> Iterator[Process]:
    """It keeps its files in `place`; another one may run there later."""
    assert PROGRAM
    port = free_port()
    usual = ("--dir", f"{place}/files", "--max_size", "1", "--http_address", f"127.0.0.1:{port}")
    command = [PROGRAM, *usual, "--grpc_address", "none", *options]
    with listening(command, port, place / "log") as process:
        yield Process(f"http://127.0.0.1:{port}", process)


@pytest.fixture(params=["imitation", pytest.param("bazel-remote", marks=needs_it)])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """HOST:PORT of the server in the tests, and of a real one."""
    if request.param == "imitation":
        with Bazel() as server:
            yield f"127.0.0.1:{server.port}"
    else:
        with bazel_remote(tmp_path) as real:
            yield real.url.removeprefix("http://")


class Answer(NamedTuple):
    status: int
    body: bytes


def ask(host: str, method: str, path: str, body: bytes | Iterator[bytes] | None = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection(host, timeout=60)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()


def test_contents(either: str) -> None:
    assert ask(either, "GET", f"/cas/{X_DIGEST}").status == 404
    assert ask(either, "HEAD", f"/cas/{X_DIGEST}").status == 404
    assert ask(either, "PUT", f"/cas/{X_DIGEST}", X) == (200, b"")
    assert ask(either, "GET", f"/cas/{X_DIGEST}") == (200, X)
    assert ask(either, "GET", f"/any/name/cas/{X_DIGEST}") == (200, X)
    assert ask(either, "HEAD", f"/cas/{X_DIGEST}").status == 200
    assert ask(either, "PUT", f"/cas/{Y_DIGEST}", X).status == 500
    assert ask(either, "GET", f"/cas/{Y_DIGEST}").status == 404
    assert ask(either, "PUT", f"/cas/{X_DIGEST}", Y).status == 500
    assert ask(either, "GET", f"/cas/{X_DIGEST}") == (200, X)
    assert ask(either, "GET", f"/cas/{NOTHING}") == (200, b"")
    assert ask(either, "PUT", f"/cas/{NOTHING}", b"") == (200, b"")
    assert ask(either, "PUT", f"/cas/{Y_DIGEST}", b"").status == 400
    assert ask(either, "PUT", f"/cas/{Y_DIGEST}", iter([Y])).status == 400  # in pieces: of no known length
    assert ask(either, "PUT", f"/cas/{Y_DIGEST}", Y, Content_Encoding="gzip").status == 400
    assert ask(either, "GET", "/cas/x").status == 400
    assert ask(either, "GET", "/").status == 400


WRONG_ENTRIES = {
    "no message": b"<html>",
    "cut off": action_result.encode([OutputFile("a", X_DIGEST, 1)])[:-1],
    "a path from the root": action_result.encode([OutputFile("/a", X_DIGEST, 1)]),
    "no path": action_result.encode([OutputFile("", X_DIGEST, 1)]),
    "no digest": action_result.encode([OutputFile("a", "x", 1)]),
}


@pytest.mark.parametrize("what", WRONG_ENTRIES)
def test_a_wrong_entry_is_refused(either: str, what: str) -> None:
    assert ask(either, "PUT", f"/ac/{KEY}", WRONG_ENTRIES[what]).status == 400
    assert ask(either, "GET", f"/ac/{KEY}").status == 404


def test_an_entry_is_written_anew(either: str) -> None:
    files = [OutputFile("b", X_DIGEST, 1), OutputFile("a", NOTHING, 0)]
    assert ask(either, "PUT", f"/cas/{X_DIGEST}", X).status == 200
    assert ask(either, "PUT", f"/ac/{KEY}", action_result.encode(files)) == (200, b"")
    status, body = ask(either, "GET", f"/ac/{KEY}")
    assert (status, action_result.decode(body)) == (200, files)
    assert body != action_result.encode(files)
    assert ask(either, "HEAD", f"/ac/{KEY}").status == 200
    assert ask(either, "PUT", f"/ac/{OTHER}", b"") == (200, b"")
    assert action_result.decode(ask(either, "GET", f"/ac/{OTHER}").body) == []


def test_an_entry_without_its_contents_is_not_given(either: str) -> None:
    assert ask(either, "PUT", f"/ac/{KEY}", action_result.encode([OutputFile("a", X_DIGEST, 1)])).status == 200
    for method in ("GET", "HEAD"):
        assert ask(either, method, f"/ac/{KEY}").status == 404
    assert ask(either, "PUT", f"/cas/{X_DIGEST}", X).status == 200
    for method in ("GET", "HEAD"):
        assert ask(either, method, f"/ac/{KEY}").status == 200
    assert ask(either, "PUT", f"/ac/{KEY}", action_result.encode([OutputFile("a", X_DIGEST, 2)])).status == 200
    assert ask(either, "GET", f"/ac/{KEY}").status == 404


@needs_it
@pytest.mark.parametrize("storage", ["zstd", "uncompressed"])
@pytest.mark.parametrize("more", ["", "--disable_http_ac_validation", "--enable_ac_key_instance_mangling"])
def test_what_one_has_made_another_takes(tmp_path: Path, storage: str, more: str) -> None:
    """Also after a restart; with a wheel of some megabytes, with an empty file, and with nothing but the result."""
    wheel = random.Random(1).randbytes(5_000_000)
    options = ("--storage_mode", storage, *more.split())
    with bazel_remote(tmp_path, *options) as server:
        first = Home(tmp_path / "first", f"{server.url}/some/name")
        first.keep(wheel)
        first.keep(b"", key=OTHER)
        first.store.keep("requires", "0" * 64, {"rounds": []}, shared=True)
        first.store.finish()
        assert first.notes == []
    with bazel_remote(tmp_path, *options) as server:
        home = Home(tmp_path / "second", f"{server.url}/some/name", mode="read")
        assert (home.take(), home.take(OTHER)) == (wheel, b"")
        assert home.store.result("requires", "0" * 64, shared=True)
        assert home.take("1" * 64) is None
        assert home.notes == []


@needs_it
def test_the_configuration_in_the_docs(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody may read, who has a password may write. Only paths and the address are those of the test."""
    [text] = re.findall(r"```yaml\n(.*?)```", (checkout / "docs" / "store.md").read_text(encoding="utf-8"), re.S)
    port = free_port()
    replaced = {"0.0.0.0:443": f"127.0.0.1:{port}", "/srv/store": f"{tmp_path}/files", "/etc/bazel-remote": tmp_path}
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, str(new))
    (tmp_path / "store.yaml").write_text(text)
    certify(tmp_path)
    set_password(tmp_path)
    path, line = keys(tmp_path)
    wheel = random.Random(1).randbytes(20_000_000)
    assert PROGRAM
    with listening([PROGRAM, "--config_file", str(tmp_path / "store.yaml")], port, tmp_path / "log"):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "store.pem"))
        url = f"https://127.0.0.1:{port}"
        for number, account in enumerate(("", "ci:wrong@")):
            stranger = Home(tmp_path / f"stranger{number}", url.replace("//", f"//{account}"))
            stranger.keep(wheel)
            assert stranger.notes == [f"the store {url} answers with the status 401; it is not asked again for 60 s"]
        first = Home(tmp_path / "first", url.replace("//", "//ci:secret@"), sign=path, trust=trusting(tmp_path, line))
        first.keep(wheel)
        assert first.notes == []
        second = Home(tmp_path / "second", url, mode="read", trust=trusting(tmp_path, line))
        assert second.take() == wheel
        assert second.notes == []


@needs_it
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_is_too_large_is_refused_alone(tmp_path: Path, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    certify(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "store.pem"))
    tls = ("--tls_cert_file", str(tmp_path / "store.pem"), "--tls_key_file", str(tmp_path / "store.key"))
    with bazel_remote(tmp_path, "--max_blob_size", "1000000", *(tls if scheme == "https" else ())) as server:
        url = server.url.replace("http", scheme)
        home = Home(tmp_path / "first", url)
        home.keep(random.Random(1).randbytes(20_000_000))
        assert home.notes == [f"the store {url} does not take {home.wheel.name} (it answers with the status 400)"]
        home.keep(key=OTHER)
        assert len(home.notes) == 1
        second = Home(tmp_path / "second", url)
        assert (second.take(), second.take(OTHER), second.notes) == (None, CONTENT, [])


@needs_it
@pytest.mark.parametrize("more", ["", "--disable_http_ac_validation"])
def test_what_was_evicted_is_made_again(tmp_path: Path, more: str) -> None:
    with bazel_remote(tmp_path, *more.split()) as server:
        home = Home(tmp_path / "first", server.url)
        home.keep()
        evict(server.url.removeprefix("http://"))
        second = Home(tmp_path / "second", server.url)
        assert second.take() is None
        second.keep()
        assert Home(tmp_path / "third", server.url).take() == CONTENT
        assert home.notes == second.notes == []


def evict(host: str) -> None:
    """Announce a content of 1 GiB, for which bazel-remote deletes all that it has, and do not send it."""
    with socket.create_connection(host.split(":")) as s:  # type: ignore[arg-type]
        s.sendall(f"PUT /cas/{X_DIGEST} HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 30}\r\n\r\n".encode())
        for _ in range(600):
            if ask(host, "GET", f"/cas/{hashlib.sha256(CONTENT).hexdigest()}").status == 404:
                return
            time.sleep(0.05)
    raise AssertionError("nothing was evicted")


@needs_it
@pytest.mark.parametrize("storage", ["zstd", "uncompressed"])
def test_a_server_that_is_killed_in_an_upload(tmp_path: Path, storage: str) -> None:
    """Its next process takes the part that it has for the whole, and nobody takes it for a wheel."""
    options = ("--storage_mode", storage)
    wheel = random.Random(1).randbytes(50_000_000)
    with bazel_remote(tmp_path, *options) as server:
        home = Home(tmp_path / "first", server.url)

        def kill() -> None:
            while not any((tmp_path / "files" / "cas.v2").glob(f"??/{hashlib.sha256(wheel).hexdigest()}-*")):
                time.sleep(0.001)
            server.process.kill()

        thread = threading.Thread(target=kill)
        thread.start()
        home.keep(wheel)
        thread.join()
        assert home.take(OTHER) is None
        assert len(home.notes) == 1
        assert re.search(r"(breaks off the connection|cannot be reached); it is not asked again", home.notes[0])
    with bazel_remote(tmp_path, *options) as server:
        notes = []
        for number in range(3):  # a compressed part is found out only when it is asked for
            reader = Home(tmp_path / f"reader{number}", server.url, mode="read")
            taken = reader.take()
            assert taken in (wheel, None)
            writer = Home(tmp_path / f"writer{number}", server.url)
            writer.keep(wheel)
            notes += reader.notes + writer.notes
        assert taken == wheel
        assert notes == []


@needs_it
@pytest.mark.skipif(not (shutil.which("ccache") and shutil.which("cc")), reason="needs ccache and a C compiler")
def test_ccache_uses_it_too(tmp_path: Path) -> None:
    """As the docs say: without the validation of entries; the tool's entries are there, too."""
    (tmp_path / "a.c").write_text("int f(void) { return 42; }\n")

    def compile_on(machine: str) -> dict[str, str]:
        environ = {**os.environ, "CCACHE_DIR": str(tmp_path / machine), "CCACHE_REMOTE_STORAGE": storage}
        subprocess.run(["ccache", "cc", "-c", "a.c", "-o", f"{machine}.o"], cwd=tmp_path, env=environ, check=True)
        told = subprocess.run(["ccache", "--print-stats"], env=environ, capture_output=True, text=True, check=True)
        return dict(line.split("\t") for line in told.stdout.splitlines())

    with bazel_remote(tmp_path, "--disable_http_ac_validation") as server:
        storage = f"{server.url}|layout=bazel"
        assert compile_on("first")["remote_storage_write"] == "2"
        assert compile_on("second")["remote_storage_hit"] == "1"
        home = Home(tmp_path / "home", server.url)
        home.keep()
        assert Home(tmp_path / "other", server.url).take() == CONTENT
        assert home.notes == []
