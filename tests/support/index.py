"""A package index on the loopback interface: it lists a directory as PEP 503 says, and can be held up.

Served by threads of this process. A request that is held up shows that whoever asked is in the middle of something,
and lasts until it is let go; when its connection ends, the process that had asked is no more.
"""

from __future__ import annotations

import base64
import hashlib
import re
import select
import socket
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

_PATIENCE = 60  # seconds after which a test fails that waits for what does not happen


class Held:
    """What happens to the first request with some text in it; the others are answered as ever."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.arrived = threading.Event()
        self._gone = threading.Event()
        self._wake, self._woken = socket.socketpair()

    def wait(self) -> None:
        """Until somebody asks."""
        assert self.arrived.wait(_PATIENCE), f"nobody asks for {self.text}"

    def let_go(self) -> None:
        """Let the request be answered."""
        self._wake.send(b"x")

    def wait_until_gone(self) -> None:
        """Until whoever asked has ended, unanswered."""
        assert self._gone.wait(_PATIENCE), f"whoever asked for {self.text} still waits"

    def hold(self, connection: socket.socket) -> bool:
        """In the thread of the request: whether it is to be answered."""
        self.arrived.set()
        readable, _, _ = select.select([connection, self._woken], [], [], _PATIENCE)
        if self._woken in readable:
            return True
        self._gone.set()
        return False

    def close(self) -> None:
        self._wake.close()
        self._woken.close()


class Index:
    """The files in `directory`, at `url` by project and at `files` by name; `asked` lists the targets of all requests.

    It is a proxy, too, for hosts that would have the same files. `hashes=False` leaves the hashes out of the links, and
    `attributes` adds some to those of the files that it names. Who does not say `credentials` (USER:PASSWORD) gets
    nothing. With `tls`, this speaks HTTPS.
    """

    def __init__(
        self,
        directory: Path,
        *,
        hashes: bool = True,
        attributes: Mapping[str, str] | None = None,
        credentials: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.directory = directory
        self.asked: list[str] = []
        self._held: list[Held] = []
        self._hashes = hashes
        self._attributes = dict(attributes or {})
        self._authorization = f"Basic {base64.b64encode(credentials.encode()).decode()}" if credentials else ""
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.address = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{self.address}/simple"
        self.files = f"{self.address}/files"

    def __enter__(self) -> Index:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for each in self._held:
            each.let_go()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for each in self._held:
            each.close()

    def hold(self, text: str) -> Held:
        """Hold up the first request from now on that has `text` in it."""
        held = Held(text)
        self._held.append(held)
        return held

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        held = next((each for each in self._held if each.text in request.path and not each.arrived.is_set()), None)
        if held and not held.hold(request.connection):
            return
        if self._authorization and request.headers.get("Authorization") != self._authorization:
            request.send_response(401)
            request.send_header("WWW-Authenticate", 'Basic realm="index"')
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        path = unquote(urlsplit(request.path).path)
        if path.startswith("/simple/"):
            body = self._page(path.split("/")[2])
        elif path.startswith("/files/") and (self.directory / Path(path).name).is_file():
            body = (self.directory / Path(path).name).read_bytes()
        else:
            body = b""
        if not body:
            request.send_error(404)
            return
        request.send_response(200)
        request.send_header("Content-Type", "text/html" if path.startswith("/simple/") else "application/octet-stream")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _page(self, project: str) -> bytes:
        links = [self._link(path) for path in sorted(self.directory.iterdir()) if _project(path.name) == project]
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode() if links else b""

    def _link(self, path: Path) -> str:
        digest = f"#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}" if self._hashes else ""
        attributes = self._attributes.get(path.name, "")
        return f'<a href="../../files/{path.name}{digest}" {attributes}>{path.name}</a><br>'


def _project(file: str) -> str:
    """The normalised name of the project that a file is of.

    >>> _project("Some_Name-1.0-py3-none-any.whl"), _project("other-2.0.tar.gz")
    ('some-name', 'other')
    """
    name = file.partition("-")[0] if file.endswith(".whl") else file.rpartition("-")[0]
    return re.sub(r"[-_.]+", "-", name).lower()
