"""What is remembered for the next build, whatever has become of it: then it is found out again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sage_wheels.building.environment.choices import Choices, Pick
from sage_wheels.building.environment.images import ImageCache
from sage_wheels.building.environment.interpreter import find_building
from sage_wheels.store.store import Store

OBJECTS: list[object] = [
    None,
    5,
    "x",
    [],
    {},
    [[]],
    [None],
    [{}],
    [5, 6],
    [[5, 6, 7]],
    [["a", "1", 5]],
    [["a", "1"]],
    {"x": 1},
]


def directory(path: Path) -> None:
    path.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    **{text: partial(Path.write_text, data=text) for text in map(json.dumps, OBJECTS)},
    "empty": lambda path: path.write_text(""),
    "cut off": lambda path: path.write_text('[["a", "1'),
    "deep": lambda path: path.write_text("[" * 100_000),
    "binary": lambda path: path.write_bytes(b"\xff\0"),
    "directory": directory,
    "pipe": os.mkfifo,
    "link to nothing": lambda path: path.symlink_to("nothing"),
    "link to itself": lambda path: path.symlink_to(path.name),
}


def spoil(path: Path, how: str) -> None:
    path.unlink()
    DAMAGES[how](path)
    if path.is_file():
        path.chmod(0o600)


def spoil_one(path: Path, number: int) -> None:
    """Let one value in a JSON file be of another type."""

    def leaves(value: object) -> int:
        items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 1 if items is None else sum(map(leaves, items))

    left = [number % leaves(content := json.loads(path.read_text()))]

    def changed(value: object) -> object:
        if isinstance(value, dict):
            return {key: changed(each) for key, each in value.items()}
        if isinstance(value, list):
            return [changed(each) for each in value]
        left[0] -= 1
        return [value] if left[0] == -1 else value

    path.write_text(json.dumps(changed(content)))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def results(cache: Path) -> list[Path]:
    return [path for path in cache.glob("results/*/*") if path.is_file()]


@pytest.mark.parametrize("how", DAMAGES)
def test_facts_about_the_interpreter(cache: Path, how: str) -> None:
    good = find_building(None, None, str(cache))
    [memo] = results(cache)
    spoil(memo, how)
    for _ in range(2):
        assert find_building(None, None, str(cache)) == good


@pytest.mark.parametrize("answer", [*OBJECTS, {"tags": []}], ids=ascii)
def test_facts_of_another_shape(cache: Path, answer: object) -> None:
    """A whole result, made by somebody who means something else by it."""
    good = find_building(None, None, str(cache))
    store = Store(str(cache))
    [memo] = results(cache)
    store.keep("facts", memo.name, {"answer": answer})
    assert find_building(None, None, str(cache)) == good


@pytest.mark.parametrize("how", DAMAGES)
def test_choices(cache: Path, how: str) -> None:
    choices = Choices(Store(str(cache)), find_building(None, None, str(cache)))
    before = results(cache)
    choices.remember(["a"], [], [Pick("a", "1", "/a.whl")])
    [memo] = set(results(cache)) - set(before)
    spoil(memo, how)
    assert choices.recall(["a"], []) is None
    choices.remember(["a"], [], [Pick("a", "2", "/a.whl")])
    assert how == "directory" or choices.recall(["a"], []) == [Pick("a", "2", "/a.whl")]


@pytest.mark.parametrize("picks", OBJECTS, ids=ascii)
def test_choices_of_another_shape(cache: Path, picks: object) -> None:
    store = Store(str(cache))
    choices = Choices(store, find_building(None, None, str(cache)))
    before = results(cache)
    choices.remember(["a"], [], [Pick("a", "1", "/a.whl")])
    [memo] = set(results(cache)) - set(before)
    store.keep("choice", memo.name, {"picks": picks})
    assert choices.recall(["a"], []) is None


@pytest.mark.parametrize("how", [*DAMAGES, *range(9)], ids=ascii)
def test_what_is_known_of_an_image(cache: Path, make_wheel: Callable[..., Path], how: str | int) -> None:
    images = ImageCache(str(cache), find_building(None, None, str(cache)))
    wheel = str(make_wheel("a", "1.0", requires=["b"]))
    tree, good = images.image(wheel)
    memo = Path(tree).with_name("about")
    if isinstance(how, str):
        spoil(memo, how)
    else:
        spoil_one(memo, how)
    assert images.about(wheel)[:4] == good[:4]
    again, about = images.image(wheel)
    assert (again, about.files, about.size) == (tree, good.files, good.size)
    assert images.image(wheel) == (tree, about)
    assert os.listdir(f"{images.root}/staging") == []


@pytest.mark.parametrize("answer", ["", "x", "../../../etc", "0" * 63, "A" * 64, 5, None, ["0" * 64]], ids=ascii)
def test_digests(cache: Path, tmp_path: Path, answer: object) -> None:
    images = ImageCache(str(cache), find_building(None, None, str(cache)))
    before = results(cache)
    (tmp_path / "file").write_text("content")
    good = images.digest(str(tmp_path / "file"))
    [memo] = set(results(cache)) - set(before)
    images.store.keep("digest", memo.name, {"answer": answer})
    assert images.digest(str(tmp_path / "file")) == good
