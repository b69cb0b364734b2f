"""A store on a server: what comes from it is what was kept, and nothing that it does costs more than some seconds."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.errors import SageWheelsError, UnsafePath, UsageError
from sage_wheels.store import action_result, remote, results, signing
from sage_wheels.store.remote import RemoteLimits
from sage_wheels.store.results import Content, Result, key_of
from support.bazel import Bazel, Handler, Request, files_of
from support.homes import CONTENT, KEY, OTHER, PATIENT, Home, keys, trusting
from support.servers import certify

pytest.importorskip("urllib3", reason="urllib3 is not installed")
pytest.importorskip("cryptography", reason="cryptography is not installed")


@pytest.fixture
def server() -> Iterator[Bazel]:
    with Bazel() as server:
        yield server


@pytest.fixture
def first(tmp_path: Path, server: Bazel) -> Home:
    """Has put a wheel on the server."""
    home = Home(tmp_path / "first", server.url)
    home.keep()
    assert not home.notes
    return home


def second(tmp_path: Path, server: Bazel, **more: Any) -> Home:
    return Home(tmp_path / "second", server.url, mode="read", **more)


def test_what_one_has_made_another_takes(first: Home, server: Bazel, tmp_path: Path) -> None:
    puts = server.asked("PUT")
    assert [path.split("/")[2] for path in puts] == ["cas", "cas", "ac"]  # never an entry before what it names
    assert all(each.headers["Content-Length"] == str(len(each.body)) for each in server.requests if each.body)
    home = second(tmp_path, server)
    assert home.take() == CONTENT
    server.requests.clear()
    assert home.take() == CONTENT  # of its own now
    assert server.requests == []
    assert home.take(OTHER) is None
    assert home.notes == []


def test_connections_are_used_again(server: Bazel, tmp_path: Path) -> None:
    home = Home(tmp_path / "first", server.url)
    for number in range(5):
        assert home.take(key_of("wheel", number)) is None
        home.keep(b"%d" % number, key=key_of("wheel", number))
    assert len(server.requests) == 5 * 6
    assert server.connections <= 2  # one looks up, one puts
    assert not home.notes


def test_what_is_there_is_not_sent_again(first: Home, server: Bazel, tmp_path: Path) -> None:
    assert first.take(OTHER) is None
    server.requests.clear()
    first.keep(key=OTHER)
    assert [path.split("/")[2] for path in server.asked("PUT")] == ["cas", "ac"]  # the result and the entry
    assert Home(tmp_path / "second", server.url).take(OTHER) == CONTENT


def test_results_without_contents(server: Bazel, tmp_path: Path) -> None:
    home = Home(tmp_path / "first", server.url)
    home.store.keep("requires", KEY, {"rounds": []}, shared=True)
    home.store.finish()
    found = second(tmp_path, server).store.result("requires", KEY, shared=True)
    assert found
    assert found.values == {"rounds": []}
    [entry] = server.entries.values()
    assert [path for path, _, _ in files_of(entry)] == [remote.NAME]


def test_reading_writes_nothing_and_writing_reads_nothing(first: Home, server: Bazel, tmp_path: Path) -> None:
    server.requests.clear()
    home = second(tmp_path, server)
    home.keep(b"another", key=OTHER)
    assert server.requests == []
    writer = Home(tmp_path / "third", server.url, mode="write", trust="")
    assert writer.take() is None
    assert server.requests == []
    writer.keep(b"another", key=OTHER)
    assert server.asked("PUT")
    assert server.asked("GET") == []


def test_what_was_evicted_is_made_again(first: Home, server: Bazel, tmp_path: Path) -> None:
    del server.contents[hashlib.sha256(CONTENT).hexdigest()]
    home = Home(tmp_path / "second", server.url)
    assert home.take() is None
    home.keep()
    assert Home(tmp_path / "third", server.url).take() == CONTENT
    assert not home.notes


def test_a_server_that_evicts_between_two_questions(first: Home, server: Bazel, tmp_path: Path) -> None:
    home = second(tmp_path, server)
    assert home.store.result("wheel", KEY, shared=True)
    server.contents.clear()
    assert home.take() is None
    assert home.notes == []
    first.store.finish()


# What a server may do instead of answering; the test says whether it is found out at the first or the second question.
def hangs(request: Request, handler: Handler) -> bool:
    handler.hang()
    return True


def drips(request: Request, handler: Handler) -> bool:
    """Send a header that never ends, a byte now and then."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not handler.bazel.over.wait(0.05):
        try:
            handler.wfile.write(b"x")
        except OSError:
            break
    handler.close_connection = True
    return True


def says_500(request: Request, handler: Handler) -> bool:
    handler.answer(500, b"oh")
    return True


def says_503(request: Request, handler: Handler) -> bool:
    handler.answer(503)
    return True


def forbids(request: Request, handler: Handler) -> bool:
    handler.answer(403)
    return True


def is_full(request: Request, handler: Handler) -> bool:
    if request.method == "PUT":
        handler.answer(507)
    return request.method == "PUT"


def hangs_at_put(request: Request, handler: Handler) -> bool:
    return request.method == "PUT" and hangs(request, handler)


def cuts_off(request: Request, handler: Handler) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Length", "20")
    handler.end_headers()
    handler.wfile.write(b"x" * 10)
    handler.close_connection = True
    return True


def says_nothing(request: Request, handler: Handler) -> bool:
    handler.close_connection = True
    return True


def is_no_http(request: Request, handler: Handler) -> bool:
    handler.wfile.write(b"SSH-2.0-x\r\n\r\n")
    handler.close_connection = True
    return True


def sends_a_page(request: Request, handler: Handler) -> bool:
    handler.answer(200, b"<html>log in here</html>")
    return True


def is_huge(request: Request, handler: Handler) -> bool:
    """Say nothing of a length, and send without end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    try:
        while not handler.bazel.over.is_set():
            handler.wfile.write(b"x" * 65536)
    except OSError:
        pass
    handler.close_connection = True
    return True


def says_it_is_huge(request: Request, handler: Handler) -> bool:
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    handler.close_connection = True
    return True


def goes_round(request: Request, handler: Handler) -> bool:
    handler.answer(302, Location=request.path)
    return True


LOOK_UPS = {
    hangs: "has not answered within 0.5 s",
    drips: "has not answered within 0.5 s",
    says_500: "answers with the status 500",
    says_503: "answers with the status 503",
    forbids: "answers with the status 403",
    cuts_off: "breaks off the connection",
    says_nothing: "breaks off the connection",
    is_no_http: "breaks off the connection",
    goes_round: "redirects too often",
}


def only(what: str, fault: Any) -> Callable[[Request, Handler], bool]:
    """A server that does `fault` if it is asked for `what`: "ac", "result" or "content"."""
    wheel = hashlib.sha256(CONTENT).hexdigest()

    def failing(request: Request, handler: Handler) -> bool:
        is_wheel = request.path.endswith(wheel)
        kind = "ac" if "/ac/" in request.path else "content" if is_wheel else "result"
        return kind == what and bool(fault(request, handler))

    return failing


@pytest.mark.parametrize("fault", LOOK_UPS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("what", ["ac", "result", "content"])
def test_a_server_that_fails(first: Home, server: Bazel, tmp_path: Path, fault: object, what: str) -> None:
    """It costs its time and one line; then nobody with that local store asks again for a minute."""
    said = LOOK_UPS[fault]  # type: ignore[index]
    server.fault = only(what, fault)
    home = second(tmp_path, server, limits=RemoteLimits(0.5, 0.5) if fault in (hangs, drips) else PATIENT)
    assert home.take() is None
    assert home.notes == [f"the store {server.url} {said}; it is not asked again for 60 s"]
    server.fault = None
    server.requests.clear()
    assert home.take() is None
    assert second(tmp_path, server).take() is None  # another process of the same local store
    assert server.requests == []
    assert len(home.notes) == 1
    assert Home(tmp_path / "third", server.url).take() == CONTENT
    for path in (home.root / "paused").iterdir():  # the minute is over
        path.write_text(str(int(path.read_text()) - 61))
    assert Home(tmp_path / "second", server.url, mode="both").take() == CONTENT


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (is_full, "answers with the status 507"),
        (says_500, "answers with the status 500"),
        (says_nothing, "breaks off the connection"),
        (hangs_at_put, "has not accepted what was built within 0.5 s"),
    ],
)
def test_a_server_that_takes_nothing(server: Bazel, tmp_path: Path, fault: object, said: str) -> None:
    server.fault = fault  # type: ignore[assignment]
    limits = PATIENT._replace(upload=0.5) if fault is hangs_at_put else PATIENT
    home = Home(tmp_path / "first", server.url, limits=limits)
    home.keep()
    assert home.notes == [f"the store {server.url} {said}; it is not asked again for 60 s"]
    assert server.entries == {}
    assert home.take() == CONTENT  # from here
    server.requests.clear()
    home.keep(key=OTHER)
    assert server.requests == []


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("status", [400, 413])
def test_what_is_too_large_is_refused_alone(
    server: Bazel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str, status: int
) -> None:
    """The store is used for everything else. bazel-remote does not read what it refuses, others do."""

    def is_small(request: Request, handler: Handler) -> bool:
        is_too_large = len(request.body) > len(CONTENT)
        if is_too_large:
            handler.answer(413)
        return is_too_large

    if status == 400:
        server.largest = len(CONTENT)
    else:
        server.fault = is_small
    certify(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "store.pem"))
    if scheme == "https":
        server.wrap(str(tmp_path / "store.pem"), str(tmp_path / "store.key"))
    url = server.url.replace("http", scheme)
    home = Home(tmp_path / "first", url)
    home.keep(CONTENT * 100)
    assert home.notes == [f"the store {url} does not take {home.wheel.name} (it answers with the status {status})"]
    home.keep(key=OTHER)
    reader = Home(tmp_path / "second", url)
    assert (reader.take(), reader.take(OTHER)) == (None, CONTENT)
    assert len(home.notes + reader.notes) == 1


def test_a_part_of_a_content_is_replaced(first: Home, server: Bazel, tmp_path: Path) -> None:
    """A server that was killed while it wrote may have one."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    server.contents[digest] = CONTENT[:-1]
    assert second(tmp_path, server).take() is None
    Home(tmp_path / "third", server.url).keep()
    assert Home(tmp_path / "fourth", server.url).take() == CONTENT


def test_a_part_of_a_file_in_a_directory_is_replaced(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    Home(tmp_path / "first", share.as_uri(), trust="").keep()
    (share / "cas" / hashlib.sha256(CONTENT).hexdigest()).write_bytes(CONTENT[:-1])
    Home(tmp_path / "second", share.as_uri(), trust="").keep()
    assert Home(tmp_path / "third", share.as_uri(), trust="").take() == CONTENT


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/cache"
        home = Home(tmp_path / "first", url)
        assert home.take() is None
        home.keep()
    assert home.notes == [f"the store {url} cannot be reached; it is not asked again for 60 s"]


def test_an_error_that_passes_is_none(first: Home, server: Bazel, tmp_path: Path) -> None:
    """A proxy that restarts says 503 once; so is a connection that the server has closed meanwhile."""
    seen: set[str] = set()

    def once(request: Request, handler: Handler) -> bool:
        is_new = request.path not in seen
        seen.add(request.path)
        return is_new and (says_503 if len(seen) % 2 else says_nothing)(request, handler)

    server.fault = once
    home = second(tmp_path, server)
    assert home.take() == CONTENT
    assert home.notes == []


def test_wrong_bytes_do_not_count(first: Home, server: Bazel, tmp_path: Path) -> None:
    """The line names the file; the store is still used for everything else."""
    first.keep(b"another", key=OTHER)
    digest = hashlib.sha256(CONTENT).hexdigest()
    server.contents[digest] = CONTENT[:-1] + b"?"
    home = second(tmp_path, server)
    assert home.take() is None
    why = "its bytes are not those that its name says"
    assert home.notes == [
        f"the store {server.url} has a damaged file cas/{digest} ({why}); what it belongs to is made again"
    ]
    assert [path.name for path in (home.root / "content").rglob("*") if path.is_file()] == []
    assert home.take(OTHER) == b"another"


@pytest.mark.parametrize("what", ["ac", "result", "content"])
@pytest.mark.parametrize("fault", [sends_a_page, is_huge, says_it_is_huge], ids=lambda each: each.__name__)
def test_a_damaged_file_is_sent_again(first: Home, server: Bazel, tmp_path: Path, what: str, fault: object) -> None:
    """Until a builder has replaced it, each reader makes it itself."""
    server.fault = only(what, fault)
    builder = Home(tmp_path / "second", server.url)
    assert builder.take() is None
    assert len(builder.notes) == 1
    assert "has a damaged file" in builder.notes[0]
    server.fault = None
    server.requests.clear()
    builder.keep()
    assert [path.split("/")[2] for path in server.asked("PUT")] == ["cas", "cas", "ac"]
    assert Home(tmp_path / "third", server.url).take() == CONTENT
    assert len(builder.notes) == 1


def test_who_only_writes_replaces_what_is_damaged(first: Home, server: Bazel, tmp_path: Path) -> None:
    """It does not know, so it sends all."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    server.contents[digest] = CONTENT[:-1] + b"?"
    Home(tmp_path / "second", server.url, mode="write", trust="").keep()
    assert server.contents[digest] == CONTENT


def test_a_server_that_only_lies_is_not_asked_again(server: Bazel, tmp_path: Path) -> None:
    """Each lie costs a look-up or a download; after some of them, also in other processes, there is a pause."""
    server.fault = sends_a_page
    root = tmp_path / "first"
    said = []
    for number in range(6):
        home = Home(root, server.url, mode="read")
        assert home.take(key_of("wheel", number)) is None
        said += home.notes
    assert [each.rpartition("; ")[2] for each in said] == [
        *["what it belongs to is made again"] * 3,
        "it is not asked again for 60 s",
    ]
    assert len(server.requests) == 4


def test_lies_that_take_long_are_few(first: Home, server: Bazel, tmp_path: Path) -> None:
    def late(request: Request, handler: Handler) -> bool:
        handler.bazel.over.wait(0.4)
        return sends_a_page(request, handler)

    server.fault = only("content", late)
    home = second(tmp_path, server, limits=PATIENT._replace(download=0.3, look_up=60.0))
    assert home.take() is None
    assert home.notes[0].endswith("it is not asked again for 60 s")


def test_an_entry_that_leads_elsewhere_gives_nothing(first: Home, server: Bazel, tmp_path: Path) -> None:
    """What another key was signed for; what no result is; and the entry of another program."""
    server.entries[OTHER] = server.entries[KEY]
    home = second(tmp_path, server)
    assert home.take(OTHER) is None
    assert home.notes == [f"a result in the store {server.url} is not what was asked for; it is not used"]
    digest = hashlib.sha256(CONTENT).hexdigest()
    server.entries[OTHER] = action_result.encode([action_result.OutputFile(remote.NAME, digest, len(CONTENT))])
    assert home.take(OTHER) is None
    assert home.notes[1:] == [f"a result in the store {server.url} is no sealed result; it is not used"]
    server.entries[OTHER] = action_result.encode([action_result.OutputFile("bin/x", digest, len(CONTENT))])
    assert home.take(OTHER) is None
    assert len(home.notes) == 2


def test_a_signature_is_asked_for(server: Bazel, tmp_path: Path) -> None:
    path, line = keys(tmp_path)
    Home(tmp_path / "first", server.url, sign=path).keep()
    assert second(tmp_path, server, trust=trusting(tmp_path, line)).take() == CONTENT
    _, other = keys(tmp_path, "stranger")
    home = Home(tmp_path / "third", server.url, trust=trusting(tmp_path, other))
    assert home.take() is None
    public = line.split()[1]
    assert home.notes == [
        f"a result in the store {server.url} is signed by a key that is not trusted ({public}); it is not used"
    ]
    assert Home(tmp_path / "fourth", server.url, trust="any").take() == CONTENT


def test_what_nobody_signed(first: Home, server: Bazel, tmp_path: Path) -> None:
    home = second(tmp_path, server, trust=trusting(tmp_path, keys(tmp_path)[1]))
    assert home.take() is None
    assert home.notes == [f"a result in the store {server.url} is not signed; it is not used"]


def test_no_byte_of_a_signed_result_can_be_changed(tmp_path: Path) -> None:
    path, line = keys(tmp_path)
    trust = signing.read_trust(trusting(tmp_path, line))
    content = Content("a.whl", "0" * 64, 7)
    data = results.encode(Result("wheel", KEY, (content,), {"seconds": 1}, 1_700_000_000))
    sealed = signing.sealed(data, signing.read_signer(path))
    assert trust.unsealed(sealed) == data
    for place in range(len(sealed)):
        for bit in (1, 128):
            changed = sealed[:place] + bytes([sealed[place] ^ bit]) + sealed[place + 1 :]
            with pytest.raises(signing.Untrusted):
                trust.unsealed(changed)
    for changed in (sealed + b" ", sealed[:-1], sealed[1:], b"", signing.LABEL, signing.LABEL + b"-\n" + data):
        with pytest.raises(signing.Untrusted):
            trust.unsealed(changed)


def test_every_kind_is_signed_and_a_replayed_one_is_none(server: Bazel, tmp_path: Path) -> None:
    path, line = keys(tmp_path)
    home = Home(tmp_path / "first", server.url, sign=path)
    home.store.keep("requires", KEY, {"rounds": []}, shared=True)
    home.store.finish()
    trust = trusting(tmp_path, line)
    reader = second(tmp_path, server, trust=trust)
    assert reader.store.result("wheel", KEY, shared=True) is None  # the right key, of another kind
    assert reader.store.result("requires", KEY, shared=True)
    server.entries[OTHER] = server.entries[KEY]
    assert reader.store.result("requires", OTHER, shared=True) is None
    assert "is not what was asked for" in reader.notes[0]


def test_a_key_that_is_bounded_in_time(server: Bazel, tmp_path: Path) -> None:
    path, line = keys(tmp_path)
    Home(tmp_path / "first", server.url, sign=path).keep()
    cases = {"until=2001-01-01": False, "from=2999-01-01": False, "from=2001-01-01 until=2999-01-01": True}
    for number, (bounds, counts) in enumerate(cases.items()):
        trust = tmp_path / f"trusted-{number}"
        trust.write_text(f"{line} {bounds}\n")
        home = Home(tmp_path / f"home-{number}", server.url, trust=str(trust))
        assert (home.take() == CONTENT) is counts
        told = f"a result in the store {server.url} was made at a time at which ci is not trusted; it is not used"
        assert home.notes == ([] if counts else [told])


def test_credentials(server: Bazel, tmp_path: Path) -> None:
    """In the URL, where no note shows them, or in ~/.netrc."""
    server.account = "me:se cret"
    url = server.url.replace("//", "//me:se%20cret@")
    home = Home(tmp_path / "first", url)
    home.keep()
    assert home.notes == []
    nameless = second(tmp_path, server)
    assert nameless.take() is None
    assert nameless.notes == [f"the store {server.url} answers with the status 401; it is not asked again for 60 s"]
    wrong = Home(tmp_path / "third", server.url.replace("//", "//me:WRONG@"))
    assert wrong.take() is None
    assert "WRONG" not in str(wrong.notes)
    netrc = tmp_path / "home" / ".netrc"
    netrc.parent.mkdir()
    netrc.write_text('machine 127.0.0.1 login me password "se cret"\n')
    netrc.chmod(0o600)
    assert Home(tmp_path / "fourth", server.url).take() == CONTENT


@pytest.mark.parametrize("is_elsewhere", [True, False])
def test_redirects(first: Home, server: Bazel, tmp_path: Path, is_elsewhere: bool) -> None:
    """They are followed; only the server that was named gets the credentials; nothing is sent elsewhere."""
    with Bazel() as other:
        other.entries, other.contents = server.entries, server.contents
        place = other if is_elsewhere else server

        def elsewhere(request: Request, handler: Handler) -> bool:
            if request.path.startswith("/cache/"):
                handler.answer(307, Location=f"http://127.0.0.1:{place.port}/x{request.path}")
                return True
            return False

        def served(request: Request, handler: Handler) -> bool:
            handler.path = request.path.removeprefix("/x")
            return False

        server.fault = elsewhere
        if is_elsewhere:
            other.fault = served
        else:
            server.fault = lambda request, handler: elsewhere(request, handler) or served(request, handler)
        home = Home(tmp_path / "second", server.url.replace("//", "//me:secret@"))
        assert home.take() == CONTENT
        own = [each for each in server.requests if each.path.startswith("/cache/") and each.method == "GET"]
        assert own
        assert all("Authorization" in each.headers for each in own)
        there = [each for each in place.requests if each.path.startswith("/x")]
        assert there
        assert all(("Authorization" in each.headers) is not is_elsewhere for each in there)
        other.requests.clear()
        home.keep(b"another", key=OTHER)
        assert "PUT" not in {each.method for each in other.requests}
        assert "answers with the status 307" in home.notes[0]


def test_a_redirect_from_tls_to_clear_text_is_refused(server: Bazel, tmp_path: Path) -> None:
    certify(tmp_path)
    certificate = tmp_path / "store.pem"
    with Bazel() as secure:
        secure.wrap(str(certificate), str(tmp_path / "store.key"))
        secure.fault = lambda request, handler: handler.answer(302, Location=server.url) or True  # type: ignore[func-returns-value]
        url = secure.url.replace("http:", "https:")
        program = (
            "import sys; from sage_wheels.store import remote; "
            "print(remote.opened(url=sys.argv[1], mode='read', sign='', trust='any', root=sys.argv[2], on_note=print, "
            "limits=remote.RemoteLimits(look_up=60.0)).get_result('0' * 64))"
        )
        for trusted, said in ((str(certificate), "not protected by TLS"), ("", "no certificate that is trusted here")):
            done = subprocess.run(
                [sys.executable, "-c", program, url, str(tmp_path / f"root{bool(trusted)}")],
                env={**os.environ, "SSL_CERT_FILE": trusted},
                capture_output=True,
                text=True,
                check=True,
            )
            assert said in done.stdout
            assert done.stdout.endswith("None\n")
    assert server.requests == []


def test_a_proxy(server: Bazel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Home) -> None:
    with Bazel() as proxy:
        proxy.entries, proxy.contents = server.entries, server.contents

        def through(request: Request, handler: Handler) -> bool:
            handler.path = request.path.removeprefix("http://example.invalid")
            return not request.path.startswith("http://example.invalid/cache/")

        proxy.fault = through
        monkeypatch.setenv("http_proxy", f"http://me:secret@127.0.0.1:{proxy.port}")
        home = Home(tmp_path / "second", "http://example.invalid/cache")
        assert home.take() == CONTENT
        told = base64.b64encode(b"me:secret").decode()
        assert {each.headers["Proxy-Authorization"] for each in proxy.requests} == {f"Basic {told}"}


@pytest.mark.parametrize("proxy", ["http://192.0.2.0:5187/", "192.0.2.0:5187", "http://me:secret@203.0.113.9"])
def test_a_proxy_that_cannot_exist_keeps_only_backends_from_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: Home, server: Bazel, proxy: str
) -> None:
    """Sage names one for its builds."""
    monkeypatch.setenv("http_proxy", proxy)
    assert Home(tmp_path / "second", server.url).take() == CONTENT
    assert server.requests


def test_a_directory_of_several_users(tmp_path: Path) -> None:
    share = tmp_path / "share"
    url = share.as_uri()
    home = Home(tmp_path / "first", url, trust="")
    assert home.take() is None
    assert home.notes == [f"the store {share} is not there; it is not asked again for 60 s"]
    share.mkdir()
    home = Home(tmp_path / "second", url, trust="")
    home.keep()
    assert Home(tmp_path / "third", url, mode="read", trust="").take() == CONTENT
    assert sorted(path.name for path in share.iterdir()) == ["ac", "cas"]
    path, line = keys(tmp_path)
    for each in (share, share / "cas"):  # others may write there: only with keys
        each.chmod(0o777)
        for trust in ("", "any"):
            with pytest.raises(UnsafePath, match="may write in"):
                Home(tmp_path / "fourth", url, trust=trust)
        each.chmod(0o755)
    share.chmod(0o777)
    Home(tmp_path / "fifth", url, mode="both", sign=path, trust=trusting(tmp_path, line)).keep(key=OTHER)
    assert Home(tmp_path / "sixth", url, trust=trusting(tmp_path, line)).take(OTHER) == CONTENT
    unsigned = Home(tmp_path / "seventh", url, trust=trusting(tmp_path, line))
    assert unsigned.take() is None
    assert "is not signed" in unsigned.notes[0]


def test_a_file_of_others_in_a_directory_of_ours(tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    Home(tmp_path / "first", share.as_uri(), trust="").keep()
    (share / "ac" / KEY).chmod(0o666)
    home = Home(tmp_path / "second", share.as_uri(), trust="")
    assert home.take() is None
    why = "it is no file that may be read"
    assert home.notes == [f"the store {share} has a damaged file ac/{KEY} ({why}); what it belongs to is made again"]
    home.keep()
    assert Home(tmp_path / "third", share.as_uri(), trust="").take() == CONTENT


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["directory", "fifo"])
def test_what_is_no_file_in_a_directory_is_replaced(tmp_path: Path, make: Callable[[Path], object]) -> None:
    share = tmp_path / "share"
    share.mkdir()
    Home(tmp_path / "first", share.as_uri(), trust="").keep()
    for number, name in enumerate((f"ac/{KEY}", f"cas/{hashlib.sha256(CONTENT).hexdigest()}")):
        (share / name).unlink()
        make(share / name)
        home = Home(tmp_path / f"second{number}", share.as_uri(), trust="")
        assert home.take() is None
        home.keep()
        assert len(home.notes) == 1
        assert f"has a damaged file {name}" in home.notes[0]
        assert Home(tmp_path / f"third{number}", share.as_uri(), trust="").take() == CONTENT


WRONG = {
    "ftp://host/x": "write http",
    "http://": "write http",
    "file://host/x": "write http",
    "file:x": "write http",
    "cache": "write http",
    "http://host:99999/": "write http",
    "http://host/x?y": "write http",
    "http://host/[": "give --store-trust",
}


@pytest.mark.parametrize("url", WRONG)
def test_what_is_no_address(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match=WRONG[url]):
        Home(tmp_path / "first", url, trust="")


def test_what_is_said_wrongly(tmp_path: Path, server: Bazel) -> None:
    path, line = keys(tmp_path)

    def refused(text: str, **more: Any) -> None:
        with pytest.raises(SageWheelsError, match=text) as error:
            Home(tmp_path / "first", server.url, **more)
        assert "\n" not in str(error.value)

    refused("whose results in the store", trust="")
    refused("is no mode", mode="all")
    refused("only results that are written", mode="read", sign=path)
    refused("No such file", sign=str(tmp_path / "nothing"))
    empty = tmp_path / "empty"
    empty.touch(0o600)
    refused("is no private key", sign=str(empty))
    Path(path).chmod(0o640)
    refused("other users can use the key", sign=path)
    refused("No such file", trust=str(tmp_path / "nothing"))
    for wrong in ("nonsense", line.replace("=", ""), f"{line} until=soon", f"{line} until=2026-13-01", f"{line} x=1"):
        refused("line 3 of", trust=trusting(tmp_path, wrong))
    refused("an earlier line", trust=trusting(tmp_path, line, line))
    trust = trusting(tmp_path, line)
    Path(trust).chmod(0o666)
    refused("others could have written", trust=trust)
    with pytest.raises(SageWheelsError, match="File exists"):
        signing.make_key(path, "again")
    with pytest.raises(UsageError):
        signing.make_key(str(tmp_path / "new"), "two words")
