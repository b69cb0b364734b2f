from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sage_wheels.wheel.image
from sage_wheels.building.environment.images import ImageCache
from sage_wheels.building.environment.interpreter import BuildInterpreter, find_building
from sage_wheels.building.environment.isolated import EnvironmentFiles
from sage_wheels.building.environment.provision import Chooser, Isolated
from sage_wheels.building.log import Log
from sage_wheels.errors import WheelRefused
from sage_wheels.store import eviction

MakeWheel = Callable[..., Path]


@pytest.fixture
def building(tmp_path: Path) -> BuildInterpreter:
    return find_building(None, None, str(tmp_path / "cache"))


@pytest.fixture
def cache(tmp_path: Path, building: BuildInterpreter) -> ImageCache:
    return ImageCache(str(tmp_path / "cache"), building)


def images(cache: ImageCache) -> list[str]:
    """The digests of the wheels that there are images of."""
    found = Path(cache.root).glob("trees/*/*/about")
    return sorted(json.loads(each.read_text())["digest"] for each in found)


def set_used(cache: ImageCache, tree: str, seconds_ago: float) -> None:
    when = time.time() - seconds_ago
    os.utime(os.path.dirname(tree), (when, when))


def test_an_image_knows_the_hash_of_its_wheel(cache: ImageCache, make_wheel: MakeWheel) -> None:
    wheel = make_wheel("a", "1.0", requires=["b>1"], requires_python=">=3.8")
    tree, about = cache.image(str(wheel))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert images(cache) == [digest]
    assert about[:4] == ("a", "1.0", ["b>1"], ">=3.8")
    assert cache.about(str(wheel)) == about
    library = Path(tree, cache.building.pattern.scheme.purelib)
    assert (library / "a.py").exists()
    assert list(library.glob("__pycache__/a.*.pyc"))
    assert os.listdir(f"{cache.root}/staging") == []


def test_about_makes_no_image(cache: ImageCache, make_wheel: MakeWheel) -> None:
    assert cache.about(str(make_wheel("a", "1.0", requires=["b"]))).requires == ["b"]
    assert not os.path.exists(f"{cache.root}/trees")


def test_a_wheel_that_changes_under_its_name_is_another_wheel(cache: ImageCache, make_wheel: MakeWheel) -> None:
    first, _ = cache.image(str(make_wheel("a", "1.0", files={"a.py": "one = 1"})))
    second, _ = cache.image(str(make_wheel("a", "1.0", files={"a.py": "two = 2"})))
    assert first != second
    assert Path(second, cache.building.pattern.scheme.purelib, "a.py").read_text() == "two = 2"


def test_a_wheel_that_changes_while_it_is_unpacked_is_not_filed_under_the_wrong_hash(
    cache: ImageCache, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_wheel("a", "1.0", files={"a.py": "one = 1"})
    real = sage_wheels.wheel.image.write_images

    def replace_then_write(*arguments: Any, **keywords: Any) -> Any:
        monkeypatch.undo()
        content = real(*arguments, **keywords)
        make_wheel("a", "1.0", files={"a.py": "two = 2"})
        return content

    monkeypatch.setattr(sage_wheels.wheel.image, "write_images", replace_then_write)
    tree, _ = cache.image(str(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert images(cache) == [digest]
    assert Path(cache.image(str(path))[0], cache.building.pattern.scheme.purelib, "a.py").read_text() == "two = 2"
    assert tree == cache.image(str(path))[0]


def test_the_same_wheel_elsewhere_is_the_same_image(cache: ImageCache, make_wheel: MakeWheel, tmp_path: Path) -> None:
    wheel = make_wheel("a", "1.0")
    shutil.copy(wheel, tmp_path / wheel.name)
    assert cache.image(str(wheel)) == cache.image(str(tmp_path / wheel.name))


def test_a_damaged_wheel_leaves_nothing(cache: ImageCache, make_wheel: MakeWheel) -> None:
    wheel = make_wheel("a", "1.0", rows={"a.py": "a.py,sha256=" + "A" * 43 + ","})
    with pytest.raises(WheelRefused):
        cache.image(str(wheel))
    assert not os.path.exists(f"{cache.root}/trees")
    assert os.listdir(f"{cache.root}/staging") == []


def test_the_cache_may_be_deleted_at_any_time(cache: ImageCache, make_wheel: MakeWheel) -> None:
    wheel = str(make_wheel("a", "1.0"))
    tree, _ = cache.image(wheel)
    shutil.rmtree(cache.root)
    assert cache.image(wheel)[0] == tree
    assert Path(tree).is_dir()


@pytest.mark.parametrize(
    "make",
    [Path.touch, os.mkfifo, lambda path: path.symlink_to("/etc"), lambda path: path.symlink_to("nowhere")],
    ids=["file", "pipe", "link", "dangling link"],
)
def test_what_is_in_the_place_of_an_image_is_replaced(
    cache: ImageCache, make_wheel: MakeWheel, make: Callable[[Path], object]
) -> None:
    wheel = str(make_wheel("a", "1.0"))
    tree, _ = cache.image(wheel)
    place = Path(tree).parent
    shutil.rmtree(place)
    make(place)
    assert cache.image(wheel)[0] == tree
    assert not place.is_symlink()
    assert Path(tree).is_dir()
    assert os.listdir(f"{cache.root}/staging") == []


def rewrite(path: str) -> None:
    with open(path, "w") as f:
        f.write("version = '6.6.6'\n")


def rewrite_with_as_many_bytes(path: str) -> None:
    size = os.stat(path).st_size
    with open(path, "wb") as f:
        f.write(b"#" * size)


def rewrite_with_an_old_time(path: str) -> None:
    rewrite(path)
    os.utime(path, (0, 0))


@pytest.mark.parametrize(
    "change", [rewrite, rewrite_with_as_many_bytes, rewrite_with_an_old_time, lambda path: os.chmod(path, 0o600)]
)
def test_what_was_changed_through_an_environment_is_made_again(
    cache: ImageCache, make_wheel: MakeWheel, tmp_path: Path, change: Callable[[str], None]
) -> None:
    wheel = str(make_wheel("a", "1.0"))
    member = f"{cache.building.pattern.scheme.purelib}/a.py"
    changed, later = str(tmp_path / "changed"), str(tmp_path / "later")
    EnvironmentFiles(changed, cache).add(wheel)
    mode = os.stat(f"{changed}/{member}").st_mode
    change(f"{changed}/{member}")
    EnvironmentFiles(later, cache).add(wheel)
    assert Path(later, member).read_text() == "version = '1.0'\n"
    assert os.stat(f"{later}/{member}").st_mode == mode
    assert len(images(cache)) == 1


def test_an_image_that_nobody_changed_is_not_made_again(
    cache: ImageCache, make_wheel: MakeWheel, tmp_path: Path
) -> None:
    wheel = str(make_wheel("a", "1.0", files={"a/__init__.py": "", "a/b/c.py": "x = 1"}))
    tree, _ = cache.image(wheel)
    inode = os.stat(tree).st_ino
    for number in range(2):
        environment = EnvironmentFiles(str(tmp_path / f"env{number}"), cache)
        environment.add(wheel)
        subprocess.run([environment.python_executable, "-c", "import a.b.c"], check=True)
    assert os.stat(tree).st_ino == inode


def test_an_environment_is_filled_although_the_cache_is_deleted_over_and_over(
    cache: ImageCache, make_wheel: MakeWheel, tmp_path: Path
) -> None:
    files = {f"a/m{number}.py": f"number = {number}" for number in range(60)}
    wheel = str(make_wheel("a", "1.0", files={"a/__init__.py": "", **files}))
    stop, left = threading.Event(), [0]

    def delete() -> None:
        while not stop.wait(0.02):
            if left[0]:
                left[0] -= 1
                shutil.rmtree(f"{cache.root}/trees", ignore_errors=True)

    thread = threading.Thread(target=delete)
    thread.start()
    try:
        for number in range(20):
            directory = str(tmp_path / f"env{number}")
            # Each deletion may spoil one try, and the one that begins meanwhile; one more deletion of the turn before
            # may still be going on. After ten tries it gives up, so four deletions in all are as many as it must bear.
            left[0] = 3
            with Log(str(tmp_path / "log")) as log:
                Isolated(directory, Chooser(cache, [os.path.dirname(wheel)], log, downloads=""), log).provide(
                    ["a"], "the test"
                )
            assert len(list(Path(directory, cache.building.pattern.scheme.purelib, "a").glob("m*.py"))) == 60
    finally:
        stop.set()
        thread.join()


def test_builders_that_make_one_image_at_once_do_not_disturb_each_other(
    cache: ImageCache, make_wheel: MakeWheel
) -> None:
    wheel = make_wheel("a", "1.0", files={f"a/m{number}.py": "x = 1\n" * 50 for number in range(100)})
    program = (
        "import sys; from sage_wheels.building.environment.images import ImageCache; "
        "from sage_wheels.building.environment.interpreter import find_building; "
        "cache = ImageCache(sys.argv[1], find_building(None, None, sys.argv[1])); "
        "print(cache.image(sys.argv[2])[0])"
    )
    command = [sys.executable, "-c", program, cache.root, str(wheel)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    answers = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0] * 6
    assert len(answers) == 1
    assert len(list(Path(answers.pop()).rglob("m*.py"))) == 100
    assert os.listdir(f"{cache.root}/staging") == []


def test_the_cache_is_bounded_and_the_least_used_goes_first(cache: ImageCache, make_wheel: MakeWheel) -> None:
    trees = {}
    for name in "abc":
        trees[name], about = cache.image(str(make_wheel(name, "1.0", files={f"{name}.txt": "0" * 100_000})))
        assert about.size > 100_000
    set_used(cache, trees["a"], 50_000)
    set_used(cache, trees["b"], 90_000)
    set_used(cache, trees["c"], 5_000)
    eviction.evict(cache.root, sum(each.size for each in eviction.entries(cache.root)) - 1)
    assert [name for name, tree in trees.items() if os.path.exists(tree)] == ["a", "c"]
    set_used(cache, trees["a"], 0)
    eviction.evict(cache.root, 0)
    assert [name for name, tree in trees.items() if os.path.exists(tree)] == ["a"], "one in use is never removed"


def test_a_digest_is_computed_again_when_the_file_changes(cache: ImageCache, tmp_path: Path) -> None:
    file = tmp_path / "file"
    for content in (b"one", b"two", b"three"):
        file.write_bytes(content)
        for _ in range(2):
            assert cache.digest(str(file)) == hashlib.sha256(content).hexdigest()
