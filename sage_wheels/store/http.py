"""A server that speaks the HTTP of Bazel's remote cache: GET, HEAD and PUT of /ac/KEY and /cas/SHA256.

`urllib3` does the HTTP: connections that stay open, retries, proxies, TLS. Two things are done here: only the server
that was named gets the credentials, also after redirects; and no more is read than the caller allows.
"""

from __future__ import annotations

import os
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from sage_wheels.store.storage import BLOCK, TOO_LARGE, Damaged, Refused, Trouble

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO, Any

    import urllib3

_REDIRECTS = 3
_MISSING = (404, 410)
_UNKNOWN_METHOD = (405, 501)
_TOO_LARGE = (400, 413)  # of bazel-remote, and of HTTP
_PORTS = {"http": 80, "https": 443}
_FOR_DOCUMENTATION = ("192.0.2.", "198.51.100.", "203.0.113.")
_PATIENCE = 30.0  # seconds of silence; `remote` has limits for the whole
_ONCE = 2.0  # seconds of silence, if nothing is tried again


class Server:
    """The server at `url`, as a `Storage`; names of files are appended to its path."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._base = parts._replace(netloc=_netloc(parts)).geturl().rstrip("/")
        self._origin = _origin(self._base)
        self._credentials = _credentials(parts)
        self._pools: dict[tuple[int, str], urllib3.PoolManager] = {}

    def get(self, name: str, most: int, write: Callable[[bytes], object]) -> bool:
        response = self._asked("GET", name)
        if response.status in _MISSING:
            _end(response)
            return False
        try:
            _check(response)
            length = response.headers.get("Content-Length", "")
            if length.isdecimal() and int(length) > most:
                raise Damaged(name, TOO_LARGE)
            read = 0
            while block := response.read(BLOCK):
                read += len(block)
                if read > most:
                    raise Damaged(name, TOO_LARGE)
                write(block)
        except _http_error() as error:
            raise Trouble(_said(error)) from error
        finally:
            response.close()  # the connection is kept if all was read
        return True

    def has(self, name: str, size: int) -> bool:
        response = self._asked("HEAD", name)
        _end(response)
        if response.status in (*_MISSING, *_UNKNOWN_METHOD):
            return False
        _check(response)
        return response.headers.get("Content-Length", str(size)) == str(size)

    def put(self, name: str, file: IO[bytes], size: int) -> None:
        url, length = f"{self._base}/{name}", {"Content-Length": str(size)}
        try:
            response = self._request("PUT", url, file, length)
        except Trouble as error:
            # A server that refuses a large file may end the connection before it has got all of it. Over TLS, nobody
            # can read its answer then. It gives the same answer if the file does not follow.
            try:
                response = self._request("PUT", url, None, length, is_asked_once=True)
            except Trouble:
                raise error from None
            if response.status < 400:
                raise
        _end(response)
        if response.status in _TOO_LARGE:
            raise Refused(_answer(response))
        _check(response)

    def _asked(self, method: str, name: str) -> urllib3.BaseHTTPResponse:
        """The response, after up to `_REDIRECTS` redirects. Raises `Trouble` for a redirect from https to http."""
        url = f"{self._base}/{name}"
        for _ in range(_REDIRECTS + 1):
            response = self._request(method, url)
            there = response.headers.get("Location")
            if response.status not in (301, 302, 303, 307, 308) or not there:
                return response
            _end(response)
            before, url = url, urljoin(url, there)
            scheme = urlsplit(url).scheme
            if scheme not in _PORTS or (scheme, urlsplit(before).scheme) == ("http", "https"):
                raise Trouble("redirects to an address that is not protected by TLS, or is not HTTP")
        raise Trouble("redirects too often")

    def _request(
        self,
        method: str,
        url: str,
        body: IO[bytes] | None = None,
        more: dict[str, str] | None = None,
        *,
        is_asked_once: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        import urllib3

        headers = {"Accept-Encoding": "identity", "User-Agent": "sage-wheels", **(more or {})}
        if self._credentials and _origin(url) == self._origin:
            headers.update(urllib3.make_headers(basic_auth=self._credentials))
        how: dict[str, Any] = {"redirect": False, "preload_content": False, "decode_content": False}
        if is_asked_once:
            how |= {"retries": False, "timeout": _ONCE}
        try:
            return self._pool(url).request(method, url, body=body, headers=headers, **how)
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            raise Trouble(_said(error)) from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        """The connections for `url`; a process that was forked opens its own."""
        import urllib3

        proxy = _proxy(url)
        key = (os.getpid(), proxy)
        if key not in self._pools:
            again = urllib3.Retry(
                total=3,
                connect=2,
                read=1,
                other=1,
                redirect=False,
                status=2,
                backoff_factor=0.1,
                status_forcelist=(502, 503, 504),
                allowed_methods=("GET", "HEAD", "PUT"),
                raise_on_status=False,
                respect_retry_after_header=False,
            )
            timeout = urllib3.Timeout(connect=2.0, read=_PATIENCE)
            if proxy:
                told = urlsplit(proxy)
                whole = told._replace(netloc=_netloc(told)).geturl()
                headers = urllib3.make_headers(proxy_basic_auth=_userinfo(told)) if told.username else None
                self._pools[key] = urllib3.ProxyManager(whole, proxy_headers=headers, retries=again, timeout=timeout)
            else:
                self._pools[key] = urllib3.PoolManager(retries=again, timeout=timeout)
        return self._pools[key]


def shown(url: str) -> str:
    """`url` without name and password.

    >>> shown("https://me:secret@host:8080/cache")
    'https://host:8080/cache'
    """
    parts = urlsplit(url)
    return parts._replace(netloc=_netloc(parts)).geturl()


def _netloc(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def _userinfo(parts: SplitResult) -> str:
    return f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"


def _credentials(parts: SplitResult) -> str:
    """NAME:PASSWORD for the server, from the URL or from ~/.netrc; "" if there are none."""
    if parts.username:
        return _userinfo(parts)
    import netrc

    try:
        found = netrc.netrc().authenticators(parts.hostname or "")
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError):
        return ""
    return f"{found[0]}:{found[2]}" if found else ""


def _proxy(url: str) -> str:
    """The proxy for `url`, or "".

    A build system that forbids its builds to download names a proxy that cannot exist, at an address for documentation
    (RFC 5737), as Sage does. That is meant for backends: the store is asked without a proxy.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return ""
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    return "" if (urlsplit(proxy).hostname or "").startswith(_FOR_DOCUMENTATION) else proxy


def _check(response: urllib3.BaseHTTPResponse) -> None:
    if not 200 <= response.status < 300:
        raise Trouble(_answer(response))


def _answer(response: urllib3.BaseHTTPResponse) -> str:
    return f"answers with the status {response.status}"


def _end(response: urllib3.BaseHTTPResponse) -> None:
    """Read the rest of a short response, so that the connection can be used again."""
    try:
        response.read(BLOCK)
    except _http_error():
        pass
    finally:
        response.close()


def _http_error() -> type[Exception]:
    import urllib3

    return urllib3.exceptions.HTTPError


def _said(error: Exception) -> str:
    """What went wrong, in a few words; the messages of urllib3 are long and contain addresses of objects."""
    import ssl

    import urllib3

    reason = getattr(error, "reason", None) or error
    if isinstance(reason, urllib3.exceptions.SSLError) and not isinstance(reason.args[0], ssl.SSLEOFError):
        return "has no certificate that is trusted here, or speaks no TLS"
    if isinstance(reason, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.NameResolutionError)):
        return "cannot be reached"
    if isinstance(reason, urllib3.exceptions.TimeoutError):
        return "does not answer"
    return "breaks off the connection"
