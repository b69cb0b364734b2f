"""The whole command: two homes and one server; secrets; what a graph of builds puts; what fails costs no build."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_wheels.store import results
from support.bazel import Bazel, Handler, Request, files_of
from support.projects import make_tree
from support.sandboxes import no_sandbox

pytest.importorskip("urllib3", reason="urllib3 is not installed")
pytest.importorskip("cryptography", reason="cryptography is not installed")

SECRET = "the-secret-that-nobody-may-see-1234567"
# The command, for which a server that answers has a minute: this machine may be busy.
PATIENT = """
import functools
import sys
from sage_wheels.cli import main
from sage_wheels.store import remote
remote.opened = functools.partial(remote.opened, limits=remote.RemoteLimits(60.0, 60.0, 60.0))
sys.exit(main())
"""


@pytest.fixture
def server() -> Iterator[Bazel]:
    with Bazel() as server:
        yield server


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree", "hello", "1.0")


def run(home: Path, *arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PATIENT, *map(str, arguments)]
    home.mkdir(exist_ok=True)
    environ = {**os.environ, "HOME": str(home), "SAGE_WHEELS_CACHE": str(home / "cache"), **variables}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environ)


def build(home: Path, tree: Path, *more: object, **variables: str) -> tuple[bool, bytes, str]:
    """Whether it came from the store, the wheel, and what was said."""
    options = ("--json", "--cache-system", "tests", "-w", home / "dist", *more)
    done = run(home, "build", *options, f"{tree}/", **variables)
    [told] = json.loads(done.stdout)
    return told["is_stored"], Path(told["path"]).read_bytes(), done.stderr


def test_the_second_home_builds_nothing(tmp_path: Path, server: Bazel, tree: Path) -> None:
    """The backend would leave a mark outside: the second home finds none."""
    mark = tmp_path / "mark"
    (tree / "hook.py").write_text(f"if 'build' in hook: open({str(mark)!r}, 'a').write('x')")
    first, second = tmp_path / "first", tmp_path / "second"
    line = run(first, "cache", "keygen", tmp_path / "key").stdout
    (tmp_path / "trusted").write_text(line)
    sign = ("--store", server.url, "--store-mode", "both", "--store-sign", tmp_path / "key")
    trust = ("--store-trust", tmp_path / "trusted")
    is_stored, wheel, said = build(first, tree, *sign, *trust)
    assert not is_stored
    assert mark.read_text()
    mark.unlink()
    entries = list(server.entries.values())
    assert sorted(sorted(path for path, _, _ in files_of(each)) for each in entries) == [
        ["build.log", "hello-1.0-py3-none-any.whl", "sage-wheels-result"],
        ["sage-wheels-result"],
    ]
    taken, same, said = build(
        second, tree, SAGE_WHEELS_STORE=server.url, SAGE_WHEELS_STORE_TRUST=str(tmp_path / "trusted")
    )
    assert (taken, same) == (True, wheel)
    assert "comes from the store" in said
    assert not mark.exists()
    build(second, tree, "--no-store", SAGE_WHEELS_STORE=server.url)
    assert mark.exists()


@pytest.mark.parametrize("how", ["", "--sandbox"])
def test_no_byte_that_is_sent_has_a_secret(tmp_path: Path, server: Bazel, tree: Path, how: str) -> None:
    """Neither the value of a variable, nor what the backend says of it, nor a password in clear, nor a key."""
    if how and no_sandbox():
        pytest.skip(no_sandbox())
    (tree / "hook.py").write_text(
        "import json, os, shlex\n"
        "from urllib.parse import quote, quote_plus\n"
        "print('environment:', dict(os.environ), dict(os.environb), json.dumps(dict(os.environ)))\n"
        "for value in os.environ.values():\n"
        "    print(value, ascii(value), shlex.quote(value), quote(value), quote_plus(value))\n"
    )
    key = tmp_path / "key"
    home = tmp_path / f"{SECRET}-home"  # the build directory is in there, and what is logged speaks of it
    run(home, "cache", "keygen", key)
    said = build(
        home,
        tree,
        *("--store-sign", key, *filter(None, [how])),
        SAGE_WHEELS_STORE=server.url.replace("//", f"//me:{SECRET}-password@"),
        SAGE_WHEELS_STORE_MODE="write",
        SOME_VARIABLE=f"x{SECRET}-variable",
        SEVERAL_LINES=f"-- BEGIN --\n{SECRET}-first/line\n{SECRET}-second line\n",
        QUOTES=f"\\ 'it' is \"{SECRET}-é\" 100%",
        MY_TOKEN=f"{SECRET}-token",
        CFLAGS="-DTOLD=yes",
    )[2]
    assert server.entries
    assert SECRET not in said
    # base64 of Authorization is what a password is sent as, and meant for this server
    sent = [
        text.encode() if isinstance(text, str) else text
        for each in server.requests
        for text in (each.method, each.path, each.body, *each.headers, *each.headers.values())
    ]
    assert not [each for each in sent if SECRET.encode() in each]
    assert not [each for each in sent if key.read_text().split()[1].encode() in each]
    wheels = [body for each in server.requests if b'"variables"' in (body := each.body)]
    [told] = [results.decode(body.split(b"\n", 2)[2]) for body in wheels]
    assert told
    assert told.values["variables"]["SOME_VARIABLE"] is None
    assert told.values["variables"]["CFLAGS"] == "-DTOLD=yes"
    assert "MY_TOKEN" not in told.values["variables"]


def test_many_builds_are_put_and_taken(tmp_path: Path, server: Bazel) -> None:
    trees = [f"{make_tree(tmp_path / name, name, '1.0')}/" for name in ("one", "two", "three")]
    variables = {"SAGE_WHEELS_STORE": server.url, "SAGE_WHEELS_STORE_TRUST": "any"}
    options = ("--cache-system", "tests", "-j2", "-w")
    run(tmp_path / "a", "build", *options, tmp_path / "a/dist", *trees, **variables, SAGE_WHEELS_STORE_MODE="both")
    done = run(tmp_path / "b", "build", *options, tmp_path / "b/dist", *trees, **variables)
    assert done.stderr.count("comes from the store") == 3


def test_the_next_build_begins_while_the_one_before_is_sent(tmp_path: Path, server: Bazel) -> None:
    """The server takes nothing until the second build runs; it is never reached by who waits for the server."""
    began = tmp_path / "began"

    def wait(request: Request, handler: Handler) -> bool:
        for _ in range(1500):
            if request.method != "PUT" or began.exists():
                return False
            server.over.wait(0.02)
        handler.answer(500)
        return True

    server.fault = wait
    one = make_tree(tmp_path / "one", "one", "1.0")
    two = make_tree(tmp_path / "two", "two", "1.0", hook=f"open({str(began)!r}, 'w').close()", requires=["one"])
    variables = {"SAGE_WHEELS_STORE": server.url, "SAGE_WHEELS_STORE_MODE": "write"}
    options = ("--cache-system", "tests", "-j1", "-w", tmp_path / "dist")
    done = run(tmp_path / "home", "build", *options, f"{one}/", f"{two}/", **variables)
    assert server.url not in done.stderr
    assert len(server.entries) == 4  # when the command ends: each wheel, and what each backend asked for


def test_a_store_that_is_away_costs_a_line(tmp_path: Path, tree: Path) -> None:
    url = "http://127.0.0.1:9/cache"  # discard; nobody listens
    said = build(tmp_path / "home", tree, "--store", url, "--store-trust", "any", "--store-mode", "both")[2]
    assert said.count(url) == 1
    assert build(tmp_path / "home", tree, "--store", url, "--store-trust", "any", "--rebuild")[2].count(url) == 0


def test_a_wheel_that_lies_is_built(tmp_path: Path, server: Bazel, tree: Path) -> None:
    """Where anybody counts, somebody may have signed for what is no wheel of this project: it is not taken."""
    import hashlib

    any_ = ("--store", server.url, "--store-trust", "any")
    build(tmp_path / "a", tree, *any_, "--store-mode", "both")
    evil = b"no wheel at all"
    [(entry, body)] = [(key, entry) for key, entry in server.entries.items() if b".whl" in entry]
    [(_, sealed, _)] = [each for each in files_of(body) if each[0] == "sage-wheels-result"]
    label, _, data = server.contents[sealed].split(b"\n", 2)
    result = results.decode(data)
    assert result
    contents = tuple(
        results.Content(each.name, hashlib.sha256(evil).hexdigest(), len(evil)) if each.name.endswith(".whl") else each
        for each in result.contents
    )
    new = b"\n".join((label, b"-", results.encode(result._replace(contents=contents))))
    server.contents[hashlib.sha256(evil).hexdigest()] = evil
    server.contents[hashlib.sha256(new).hexdigest()] = new
    old = next(size for path, _, size in files_of(body) if path == "sage-wheels-result")
    from sage_wheels.store import action_result

    server.entries[entry] = action_result.encode(
        [action_result.OutputFile("sage-wheels-result", hashlib.sha256(new).hexdigest(), len(new))]
    )
    assert old
    is_stored, wheel, said = build(tmp_path / "b", tree, *any_)
    assert not is_stored
    assert wheel.startswith(b"PK")
    assert "is not taken" in said


def test_what_is_said_wrongly_ends_the_command(tmp_path: Path, server: Bazel, tree: Path) -> None:
    command = [sys.executable, "-m", "sage_wheels", "build", "--store", server.url, "-w", tmp_path, f"{tree}/"]
    environ = {**os.environ, "SAGE_WHEELS_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environ, check=False)
    assert done.returncode == 2
    assert "whose results in the store" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("setting", ['store = "http://127.0.0.1:9"', 'store-trust = "any"', 'store-sign = "x"'])
def test_no_file_of_a_project_says_where_wheels_come_from(tmp_path: Path, tree: Path, setting: str) -> None:
    (tmp_path / "sage-wheels.toml").write_text(setting)
    command = [sys.executable, "-m", "sage_wheels", "build", "-w", tmp_path / "dist", f"{tree}/"]
    environ = {**os.environ, "HOME": str(tmp_path), "SAGE_WHEELS_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, env=environ, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "only the user's own configuration may" in done.stderr


def test_the_users_own_file_says_it(tmp_path: Path, server: Bazel, tree: Path) -> None:
    line = run(tmp_path / "home", "cache", "keygen", tmp_path / "home" / "key").stdout
    own = tmp_path / "home" / ".config" / "sage-wheels"
    own.mkdir(parents=True)
    (own / "keys.txt").write_text(line)
    text = f'store = "{server.url}"\nstore-mode = "both"\nstore-sign = "~/key"\nstore-trust = "keys.txt"\n'
    (own / "sage-wheels.toml").write_text(text)
    assert build(tmp_path / "home", tree)[0] is False
    assert server.entries
    run(tmp_path / "home", "cache", "clear")
    assert build(tmp_path / "home", tree)[0] is True
    (own / "sage-wheels.toml").write_text(f'store = "{server.url}"\nstore-trust = "any"\n')
    run(tmp_path / "home", "cache", "clear")
    assert build(tmp_path / "home", tree)[0] is True
