"""The configuration of nginx in docs/store.md is one that works."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_wheels.store.results import key_of
from support.run import tool_environment
from support.servers import certify, free_port, listening, set_password

pytest.importorskip("urllib3", reason="urllib3 is not installed")

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SIZE = 20_000_000
KEY = key_of("wheel", "x")

# keep FILE, or take it, with the store at a URL and a local one; prints what was said.
_CLIENT = """
import sys
from sage_wheels.store import remote
from sage_wheels.store.store import Store
what, url, root, key, path = sys.argv[1:]
limits = remote.RemoteLimits(60.0, 60.0, 60.0)  # for this machine may be busy
mode = "both" if what == "keep" else "read"
tier = remote.opened(url=url, mode=mode, sign="", trust="any", root=root, limits=limits, on_note=print)
store = Store(root, remote=tier, on_note=print)
if what == "keep":
    store.keep("wheel", key, {"seconds": 60}, {"a.whl": path}, shared=True)
    store.finish()
else:
    result = store.result("wheel", key, shared=True)
    print("taken" if result and store.fetch(result, "a.whl", path, shared=True) else "nothing")
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "store" / "incoming").mkdir(parents=True)
    certify(tmp_path)
    set_password(tmp_path)
    return tmp_path


@pytest.fixture
def url(place: Path, checkout: Path) -> Iterator[str]:
    """nginx, as the docs have it; only paths, the port and the user are those of the test."""
    with nginx(place, checkout) as address:
        yield f"https://{address}"


@pytest.fixture
def plain(place: Path, checkout: Path) -> Iterator[str]:
    """The same without TLS, as the docs say for ccache: the address."""
    with nginx(place, checkout, re.compile(r" ssl;|^ *ssl_.*\n", re.M)) as address:
        yield address


@contextlib.contextmanager
def nginx(place: Path, checkout: Path, without: re.Pattern[str] | None = None) -> Iterator[str]:
    if NGINX is None:
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    if os.geteuid():
        pytest.skip("Debian's nginx makes directories in /var/lib/nginx, which only root may")
    [text] = re.findall(r"```nginx\n(.*?)```", (checkout / "docs" / "store.md").read_text(encoding="utf-8"), re.S)
    port = free_port()
    for old, new in {
        "user www-data;": "user root;",
        "/run/nginx.pid": f"{place}/nginx.pid",
        "/var/log/nginx": str(place),
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/nginx": str(place),
        "/srv/store": f"{place}/store",
    }.items():
        assert old in text
        text = text.replace(old, new)
    if without:
        text = without.sub(lambda found: ";" if found[0].endswith(";") else "", text)
    (place / "nginx.conf").write_text(text)
    command = [NGINX, "-c", f"{place}/nginx.conf", "-e", f"{place}/early.log", "-g", "daemon off;"]
    with listening(command, port, place / "early.log"):
        yield f"127.0.0.1:{port}"


def client(place: Path, what: str, url: str, home: str, key: str, path: Path) -> str:
    environ = tool_environment(SSL_CERT_FILE=str(place / "store.pem"), HOME=str(place / home))
    (place / home).mkdir(exist_ok=True)
    command = [sys.executable, "-c", _CLIENT, what, url, str(place / home), key, str(path)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout.strip()


def test_a_large_wheel(place: Path, url: str) -> None:
    wheel = place / "a.whl"
    wheel.write_bytes(random.Random(1).randbytes(SIZE))
    owner = url.replace("//", "//ci:secret@")
    assert client(place, "keep", owner, "first", KEY, wheel) == ""
    assert sorted(each.name for each in (place / "store").iterdir()) == ["ac", "cas", "incoming"]
    assert list((place / "store" / "incoming").iterdir()) == []
    assert client(place, "take", url, "second", KEY, place / "taken") == "taken"
    assert (place / "taken").read_bytes() == wheel.read_bytes()
    assert client(place, "keep", owner, "third", KEY, wheel) == ""  # again
    assert client(place, "take", url, "second", key_of("wheel", "y"), place / "nothing") == "nothing"
    for path in (place / "store" / "cas").iterdir():  # as the clean-up in the docs does, at the worst moment
        path.unlink()
    assert client(place, "take", url, "fourth", KEY, place / "nothing") == "nothing"
    assert client(place, "keep", owner, "fifth", KEY, wheel) == ""
    assert client(place, "take", url, "sixth", KEY, place / "again") == "taken"


def test_a_damaged_file_is_replaced(place: Path, url: str) -> None:
    """nginx does not look at what it serves."""
    wheel = place / "a.whl"
    wheel.write_bytes(random.Random(2).randbytes(1000))
    owner = url.replace("//", "//ci:secret@")
    assert client(place, "keep", owner, "first", KEY, wheel) == ""
    for number, name in enumerate((f"ac/{KEY}", f"cas/{hashlib.sha256(wheel.read_bytes()).hexdigest()}")):
        path = place / "store" / name
        path.write_bytes(bytes(path.stat().st_size))
        said = client(place, "take", url, f"reader{number}", KEY, place / "nothing").splitlines()
        assert said[1:] == ["nothing"]
        assert f"has a damaged file {name} " in said[0]
        assert client(place, "keep", owner, f"writer{number}", KEY, wheel) == ""
        assert client(place, "take", url, f"another{number}", KEY, place / f"taken{number}") == "taken"


def test_only_who_has_a_password_writes(place: Path, url: str) -> None:
    wheel = place / "a.whl"
    wheel.write_bytes(b"x")
    for number, told in enumerate((url, url.replace("//", "//ci:wrong@"))):
        said = client(place, "keep", told, f"home{number}", KEY, wheel)
        assert said == f"the store {url} answers with the status 401; it is not asked again for 60 s"
    assert not (place / "store" / "ac").exists()


@pytest.mark.skipif(not (shutil.which("ccache") and shutil.which("cc")), reason="needs ccache and a C compiler")
def test_ccache_uses_it_too(place: Path, plain: str) -> None:
    """What one machine has compiled another does not; an entry of ccache is no result of ours."""
    (place / "a.c").write_text("int f(void) { return 42; }\n")

    def compile_on(machine: str, account: str = "") -> dict[str, str]:
        storage = f"http://{account}{plain}|layout=bazel"
        environ = {**os.environ, "CCACHE_DIR": str(place / machine), "CCACHE_REMOTE_STORAGE": storage}
        subprocess.run(["ccache", "cc", "-c", "a.c", "-o", f"{machine}.o"], cwd=place, env=environ, check=True)
        told = subprocess.run(["ccache", "--print-stats"], env=environ, capture_output=True, text=True, check=True)
        return dict(line.split("\t") for line in told.stdout.splitlines())

    assert compile_on("first", "ci:secret@")["remote_storage_write"] == "2"
    assert compile_on("second")["remote_storage_hit"] == "1"
    assert (place / "first.o").read_bytes() == (place / "second.o").read_bytes()
    [key, _] = sorted(each.name for each in (place / "store" / "ac").iterdir())
    assert client(place, "take", f"http://{plain}", "third", key, place / "nothing").endswith("nothing")
