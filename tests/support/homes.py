"""Processes of somebody with a local store and one of several machines, and keys that sign what is in it."""

from __future__ import annotations

from pathlib import Path

from sage_wheels.fs import caches
from sage_wheels.store import remote, signing
from sage_wheels.store.remote import RemoteLimits
from sage_wheels.store.results import key_of
from sage_wheels.store.store import Store

KEY, OTHER = key_of("wheel", {"source": "x"}), key_of("wheel", {"source": "y"})
CONTENT = b"content of a wheel" * 10_000
PATIENT = RemoteLimits(60.0, 60.0, 60.0)  # for a server that answers: this machine may be busy


class Home:
    """A process of somebody with a local store; `notes` are what he was told."""

    def __init__(
        self,
        root: Path,
        url: str,
        *,
        mode: str = "both",
        trust: str = "any",
        sign: str = "",
        limits: RemoteLimits = PATIENT,
    ) -> None:
        self.root = root
        self.notes: list[str] = []
        caches.said.clear()  # another process
        root.mkdir(exist_ok=True)
        options = {"mode": mode, "sign": sign, "trust": trust}
        self.tier = remote.opened(url=url, **options, root=str(root), limits=limits, on_note=self.notes.append)
        self.store = Store(str(root), remote=self.tier, on_note=self.notes.append)
        self.wheel = root / "a-1.0-py3-none-any.whl"

    def keep(self, content: bytes = CONTENT, *, seconds: float = 60, key: str = KEY) -> None:
        self.wheel.write_bytes(content)
        self.store.keep("wheel", key, {"seconds": seconds}, {self.wheel.name: str(self.wheel)}, shared=True)
        self.wheel.unlink()  # as a build directory goes
        self.store.finish()

    def take(self, key: str = KEY) -> bytes | None:
        result = self.store.result("wheel", key, shared=True)
        new = self.root / "taken"
        if result is None or not self.store.fetch(result, self.wheel.name, str(new), shared=True):
            assert not new.exists()
            return None
        data = new.read_bytes()
        new.unlink()
        return data


def keys(directory: Path, name: str = "ci") -> tuple[str, str]:
    """The file of a key, and the line that trusts it."""
    path = str(directory / name)
    return path, signing.make_key(path, name)


def trusting(directory: Path, *lines: str) -> str:
    path = directory / "trusted"
    path.write_text("# those who are trusted\n\n" + "".join(f"{line}\n" for line in lines))
    return str(path)
