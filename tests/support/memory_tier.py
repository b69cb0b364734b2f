"""A second tier in memory, which can be made to lie; it is written against `Tier` and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sage_wheels.store.results import Content


class MemoryTier:
    def __init__(self) -> None:
        self.results: dict[str, bytes] = {}
        self.contents: dict[str, bytes] = {}
        self.calls: list[str] = []

    def get_result(self, key: str) -> bytes | None:
        self.calls.append("get_result")
        return self.results.get(key)

    def get_content(self, content: Content, path: str, seconds: float | None) -> bool:
        self.calls.append("get_content")
        if content.digest not in self.contents:
            return False
        Path(path).write_bytes(self.contents[content.digest])
        return True

    def keep(self, key: str, data: bytes, files: Mapping[str, str]) -> None:
        self.calls.append("keep")
        self.contents.update({digest: Path(path).read_bytes() for digest, path in files.items()})
        self.results[key] = data

    def finish(self) -> None:
        self.calls.append("finish")
