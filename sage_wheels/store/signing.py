"""Ed25519 signatures of results, the keys that make them, and the file that says which keys are trusted.

A sealed result, as it is in a remote store, has three parts:

    sage-wheels result 1                     the label, with the number of this format
    PUBLIC KEY, a space, SIGNATURE           in base64, or a hyphen: nobody has signed
    the bytes of the result                  see `results`: key, kind, contents with sizes, file names, time

The signature is that of the first and the third part, byte by byte. So it cannot be used for anything else, and
nothing that it does not cover is used.

The file of a private key has one line, `ed25519-private SEED`. The file of trusted keys has one line for each:

    ed25519 PUBLIC_KEY NAME [from=DAY] [until=DAY]

With `from`, results that were made before that day (UTC) are not trusted; with `until`, those that were made on that
day or later. The time is the one in the result. Whoever has stolen a key can write any time into a result; then remove
the line of that key.
"""

from __future__ import annotations

import base64
import binascii
import os
import re

from sage_wheels.errors import FileOperationFailed, UnsafePath, UsageError
from sage_wheels.fs import caches
from sage_wheels.fs.files import read_most, regular
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

LABEL = b"sage-wheels result 1\n"
ANY = "any"
_LIBRARY = "cryptography"
_PUBLIC, _SIGNATURE = 32, 64  # bytes (RFC 8032)
_NOBODY = b"-"
_LONGEST_LINE = 200  # of the signature; it takes 133 bytes
_LARGEST_FILE = 1 << 20
_PRIVATE = re.compile(r"ed25519-private ([A-Za-z0-9+/]{43}=)")
_TRUSTED = re.compile(r"ed25519 ([A-Za-z0-9+/]{43}=) (\S+)((?: (?:from|until)=\S+)*)")


class Untrusted(Exception):
    """A sealed result is not trusted. The message is the end of a sentence that begins with "a result"."""


class KeyBounds(NamedTuple):
    """The results of the key `name` that are trusted: made at `since` or later, and before `until` (seconds)."""

    name: str
    since: float
    until: float


class Trust(NamedTuple):
    """The `keys` whose results are trusted, by public key; None if all results are, signed or not."""

    keys: dict[bytes, KeyBounds] | None

    def unsealed(self, sealed: bytes) -> bytes:
        """The bytes of the result. Raises `Untrusted`. `check_time` checks the time."""
        signature, body = _parts(sealed)
        if self.keys is None:
            return body
        public, signed = _signature_of(signature)
        if public not in self.keys:
            raise Untrusted(f"is signed by a key that is not trusted ({base64.b64encode(public).decode()})")
        if not _is_good(public, signed, LABEL + body):
            raise Untrusted(f"has a wrong signature of {self.keys[public].name}")
        return body

    def check_time(self, sealed: bytes, time: int) -> None:
        """Check that the key was trusted at that `time`, which is in the signed bytes. Raises `Untrusted`."""
        if self.keys is None:
            return
        public, _ = _signature_of(_parts(sealed)[0])
        bounds = self.keys[public]
        if not bounds.since <= time < bounds.until:
            raise Untrusted(f"was made at a time at which {bounds.name} is not trusted")


class Signer:
    """Signs with a private key; `public` is its public key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = key.public_key().public_bytes_raw()

    def signature(self, data: bytes) -> bytes:
        return self._key.sign(data)


def sealed(data: bytes, signer: Signer | None) -> bytes:
    """The bytes of a result with a signature, or without one."""
    line = _NOBODY
    if signer:
        line = base64.b64encode(signer.public) + b" " + base64.b64encode(signer.signature(LABEL + data))
    return LABEL + line + b"\n" + data


def read_signer(path: str) -> Signer:
    """The private key in the file at `path`. Raises `UsageError`, `UnsafePath` or `FileOperationFailed`."""
    ed25519 = _ed25519()
    text = _read(path, "the key")
    if os.stat(path).st_mode & 0o077:
        raise UnsafePath(f"other users can use the key {path}", f"run 'chmod 600 {path}', or make a new one")
    found = _PRIVATE.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{path} is no private key", "make one with 'sage-wheels cache keygen FILE'")
    return Signer(ed25519.Ed25519PrivateKey.from_private_bytes(base64.b64decode(found[1])))


def make_key(path: str, name: str) -> str:
    """Make a private key in the new file `path`. Returns the line for a file of trusted keys.

    Raises `UsageError` or `FileOperationFailed`.
    """
    if not re.fullmatch(r"\S+", name) or not name.isprintable():
        raise UsageError(f"the name {name!r} of a key has a blank or a control character", "name it otherwise")
    key = _ed25519().Ed25519PrivateKey.generate()
    line = f"ed25519-private {base64.b64encode(key.private_bytes_raw()).decode()}\n"
    try:
        with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, 0o600)) as f:
            f.write(line)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"writing the key {path}") from error
    return f"ed25519 {base64.b64encode(key.public_key().public_bytes_raw()).decode()} {name}"


def read_trust(told: str) -> Trust:
    """The trust that `--store-trust` asks for: "any", or the path of a file of trusted keys.

    Raises `UsageError`, `UnsafePath` or `FileOperationFailed`.
    """
    if told == ANY:
        return Trust(None)
    _ed25519()
    text = _read(told, "the trusted keys")
    keys = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if line and not line.startswith("#"):
            public, bounds = _trusted(line, f"line {number} of {told}")
            if public in keys:
                raise UsageError(f"line {number} of {told} has a key that an earlier line has", "leave one of them")
            keys[public] = bounds
    return Trust(keys)


def _read(path: str, what: str) -> str:
    """The text of a file that nobody else could have written. Raises `UnsafePath` or `FileOperationFailed`."""
    try:
        problem = caches.problem_of_file(os.path.abspath(path))
        with open(path, "rb", opener=regular) as f:
            text = read_most(f, _LARGEST_FILE).decode("utf-8", "replace")
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"reading {what} {path}") from error
    if problem:
        raise UnsafePath(f"{problem}, so others could have written {what} {path}", "let nobody else write there")
    return text


def _trusted(line: str, where: str) -> tuple[bytes, KeyBounds]:
    found = _TRUSTED.fullmatch(line)
    if not found:
        raise UsageError(f"{where} is no trusted key", "write 'ed25519 PUBLIC_KEY NAME [from=DAY] [until=DAY]'")
    bounds = {"from": float("-inf"), "until": float("inf")}
    for word in found[3].split():
        name, _, day = word.partition("=")
        bounds[name] = _start_of(day, where)
    return base64.b64decode(found[1]), KeyBounds(found[2], bounds["from"], bounds["until"])


def _start_of(day: str, where: str) -> float:
    import datetime

    try:
        date = datetime.date.fromisoformat(day)
    except ValueError:
        raise UsageError(f"{where} has {day!r}, which is no day", "write it as 2026-01-31") from None
    return datetime.datetime(date.year, date.month, date.day, tzinfo=datetime.timezone.utc).timestamp()


def _parts(sealed: bytes) -> tuple[bytes, bytes]:
    """The line of the signature, and the bytes of the result."""
    if not sealed.startswith(LABEL):
        raise Untrusted("is no sealed result")
    end = sealed.find(b"\n", len(LABEL), len(LABEL) + _LONGEST_LINE)
    if end < 0:
        raise Untrusted("is no sealed result")
    return sealed[len(LABEL) : end], sealed[end + 1 :]


def _signature_of(line: bytes) -> tuple[bytes, bytes]:
    """The public key and the signature."""
    if line == _NOBODY:
        raise Untrusted("is not signed")
    public, _, signature = line.partition(b" ")
    try:
        found = base64.b64decode(public, validate=True), base64.b64decode(signature, validate=True)
    except binascii.Error:
        raise Untrusted("is no sealed result") from None
    is_canonical = b" ".join(map(base64.b64encode, found)) == line  # the last bits in base64 can be anything
    if not is_canonical or (len(found[0]), len(found[1])) != (_PUBLIC, _SIGNATURE):
        raise Untrusted("is no sealed result")
    return found


def _is_good(public: bytes, signature: bytes, data: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        _ed25519().Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def _ed25519() -> ModuleType:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise UsageError(f"keys need {_LIBRARY}, which is not installed", "install sage-wheels[store]") from None
    return ed25519
