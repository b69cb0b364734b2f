"""A remote cache on the loopback interface that does what bazel-remote does, and can be made to fail in many ways.

Like bazel-remote it takes an entry only if that is an ActionResult with proper files, writes it anew (with a field that
the client has not written, and the fields of each file in another order), takes a content only if it has the SHA-256
that its name says, gives no entry whose contents are not there, and wants to know the length of what it gets.
`store/test_bazel_remote.py` asks both the same.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple

_PATH = re.compile("/(?:.*/)?(ac|cas)/([0-9a-f]{64})")
_NOTHING = hashlib.sha256(b"").hexdigest()


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Bazel:
    """A server at `url`; `entries` and `contents` are what it has, `requests` what it was asked.

    `fault` is called with each request and the handler before anything else; it answers itself and returns True, or
    returns False. `account` is NAME:PASSWORD if only that may do anything. A file of more than `largest` bytes is not
    even read.
    """

    def __init__(self, *, account: str = "", host: str = "127.0.0.1") -> None:
        self.entries: dict[str, bytes] = {}
        self.contents: dict[str, bytes] = {_NOTHING: b""}
        self.requests: list[Request] = []
        self.connections = 0
        self.account = account
        self.largest = 1 << 62
        self.fault: Callable[[Request, Handler], bool] | None = None
        self.over = threading.Event()  # what hangs, hangs until then
        server = self

        class Bound(Handler):
            bazel = server

        self._host = host
        self._server = _Server((host, 0), Bound)
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.01))

    @property
    def url(self) -> str:
        return f"http://{self._host}:{self.port}/cache"

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def wrap(self, certificate: str, key: str) -> None:
        """Speak TLS with the certificate and the key in these files."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def asked(self, method: str) -> list[str]:
        return [each.path for each in self.requests if each.method == method]

    def __enter__(self) -> Bazel:
        self._thread.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Its threads end with it, also those that wait for a further request of a client."""

    daemon_threads = False  # `server_close` waits for them

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        super().server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no news."""


class Handler(BaseHTTPRequestHandler):
    bazel: Bazel
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: object) -> None:
        """Nobody reads it."""

    def setup(self) -> None:
        super().setup()
        self.bazel.connections += 1

    def do_GET(self) -> None:
        self._do()

    def do_HEAD(self) -> None:
        self._do()

    def do_PUT(self) -> None:
        self._do()

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def hang(self) -> None:
        self.bazel.over.wait(60)
        self.close_connection = True

    def _do(self) -> None:
        length = self.headers.get("Content-Length")
        size_of_body = int(length or 0)
        if size_of_body > self.bazel.largest:
            self.close_connection = True
            return self.answer(400)
        body = self.rfile.read(size_of_body)
        if len(body) < size_of_body:  # the client has gone, perhaps long ago: that was no request
            self.close_connection = True
            return None
        if "Transfer-Encoding" in self.headers:  # in pieces: each after its size; who closes too early resets
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        headers = {name.title(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        self.bazel.requests.append(request)
        if self.bazel.fault and self.bazel.fault(request, self):
            return
        account = base64.b64encode(self.bazel.account.encode()).decode()
        if self.bazel.account and self.headers.get("Authorization") != f"Basic {account}":
            return self.answer(401)
        found = _PATH.fullmatch(self.path)
        if not found:
            return self.answer(400)
        kind, name = found.groups()
        if self.command == "PUT":
            is_whole = length is not None and self.headers.get("Content-Encoding", "identity") == "identity"
            return self.answer(self._take(kind, name, body) if is_whole else 400)
        have = self.bazel.contents.get(name) if kind == "cas" else self._entry(name)
        return self.answer(404) if have is None else self.answer(200, have)

    def _take(self, kind: str, name: str, body: bytes) -> int:
        """Keep an entry or a content. Returns the status."""
        if kind == "cas":
            if hashlib.sha256(body).hexdigest() != name:
                return 500 if body else 400
            self.bazel.contents[name] = body
            return 200
        try:
            self.bazel.entries[name] = _rewritten(body)
        except (AssertionError, KeyError, StopIteration, UnicodeDecodeError):
            return 400
        return 200

    def _entry(self, name: str) -> bytes | None:
        entry = self.bazel.entries.get(name)
        if entry is not None and not all(
            digest in self.bazel.contents and len(self.bazel.contents[digest]) == size
            for _, digest, size in files_of(entry)
        ):
            return None
        return entry


# The encoding of protocol buffers, once more, in few words: what is tested against itself is not tested.


def files_of(entry: bytes) -> list[tuple[str, str, int]]:
    """Path, SHA-256 and size of each output file of an ActionResult."""
    result = []
    for number, value in _fields(entry):
        if number == 2:
            file = dict(_fields(_text(value)))
            digest = dict(_fields(_text(file[2])))
            result.append((_text(file[1]).decode(), _text(digest[1]).decode(), digest.get(2, 0)))
    return result  # type: ignore[return-value]


def _rewritten(entry: bytes) -> bytes:
    files = files_of(entry)
    message = _field(9, _field(1, b"a worker")) + b"\x20\x00"  # execution_metadata; exit_code, written though it is 0
    for path, digest, size in files:
        assert path
        assert not path.startswith("/")
        assert re.fullmatch("[0-9a-f]{64}", digest)
        message += _field(2, _field(2, b"\x10" + _number(size) + _field(1, digest.encode())) + _field(1, path.encode()))
    return message


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    result: list[tuple[int, int | bytes]] = []
    while data:
        key, data = _shift(data)
        value, data = _shift(data)
        assert key & 7 in (0, 2)
        if key & 7 == 2:
            assert value <= len(data)
            result.append((key >> 3, data[:value]))
            data = data[value:]
        else:
            result.append((key >> 3, value))
    return result


def _shift(data: bytes) -> tuple[int, bytes]:
    end = next(index for index in range(len(data) + 1) if data[index] < 0x80) + 1
    return sum((byte & 0x7F) << 7 * index for index, byte in enumerate(data[:end])), data[end:]


def _number(value: int) -> bytes:
    return bytes([value & 0x7F | 0x80]) + _number(value >> 7) if value > 0x7F else bytes([value])


def _field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _number(len(value)) + value


def _text(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value
