"""Build requirements with a URL: the environment of the build has what the URL leads to, as with pip."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from sage_wheels.building import BuildOptions, build_wheel, parse_source
from sage_wheels.errors import BuildFailed
from sage_wheels.requirements.references import file_url
from support.index import Index
from support.projects import make_sdist, make_tree
from support.wheels import make_wheel

pytestmark = pytest.mark.once

_HOOK = """
import importlib.metadata
content["seen"] = " ".join(sorted(f"{d.metadata['Name']} {d.version}" for d in importlib.metadata.distributions()))
"""

Seen = Callable[..., str]


@pytest.fixture
def seen(tmp_path: Path, options: BuildOptions, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """What there is in the environment of a build with these requirements; the wheelhouse has a 9 and b 1."""
    for name in [each for each in os.environ if each.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("HOME", str(tmp_path))
    make_wheel(tmp_path / "house", "a", "9", {"a.py": ""}, requires=["b"])
    make_wheel(tmp_path / "house", "b", "1", {"b.py": ""})
    house = str(tmp_path / "house")

    def run(*requires: str, index: str = "", asks: tuple[str, ...] = ()) -> str:
        number = len(list(tmp_path.glob("tree*")))
        tree = make_tree(tmp_path / f"tree{number}", "hello", "1", hook=_HOOK, requires=requires, asks=asks)
        if index:
            monkeypatch.setenv("PIP_INDEX_URL", index)
        chosen = options._replace(find_links=(house,), use_index=bool(index))
        built = build_wheel(parse_source(str(tree)), wheel_dir=tmp_path / "dist", options=chosen)
        with ZipFile(built.path) as archive:
            return archive.read("seen").decode()

    return run


def wheel_of(tmp_path: Path, version: str = "1", name: str = "a", where: str = "a dir é", **more: Any) -> Path:
    (tmp_path / where).mkdir(exist_ok=True)
    return make_wheel(tmp_path / where, name, version, {f"{name}.py": ""}, **more)


def test_a_wheel_beside_better_ones(tmp_path: Path, seen: Seen) -> None:
    url = file_url(str(wheel_of(tmp_path)))
    assert seen(f"a @ {url}") == "a 1"
    assert seen(f"A[x] @ {url} ; python_version > '3'", "a>0") == "a 1"
    assert seen(f"a @ {url} ; python_version < '3'") == ""
    assert seen(asks=(f"a @ {url}",)) == "a 1"
    digest = hashlib.sha256(Path(wheel_of(tmp_path)).read_bytes()).hexdigest()
    assert seen(f"a @ {url}#sha256={digest}") == "a 1"


def test_what_it_requires_comes_from_the_wheelhouse(tmp_path: Path, seen: Seen) -> None:
    wheel = wheel_of(tmp_path, requires=["b; extra == 'x'"])
    assert seen(f"a @ {file_url(str(wheel))}") == "a 1"
    assert seen(f"a[x] @ {file_url(str(wheel))}") == "a 1 b 1"


def test_another_wheel_at_the_same_path(tmp_path: Path, seen: Seen) -> None:
    url = file_url(str(wheel_of(tmp_path, requires=["b"])))
    assert seen(f"a @ {url}") == "a 1 b 1"
    wheel_of(tmp_path)
    assert seen(f"a @ {url}") == "a 1"


@pytest.mark.parametrize(
    ("requires", "expected"),
    [
        (["a @ {url}", "a>1"], "a>1.*its URL leads to a-1-py3-none-any.whl"),
        (["a @ {url}", "a @ file:///{tmp}/house/a-9-py3-none-any.whl"], "asks for a at two URLs"),
        (["b @ {url}"], "was asked for as b, but the project there is a"),
        (["a @ {url}#sha256=" + "0" * 64], "does not have the sha256 that its URL claims"),
        (["a @ {url}x"], "is not there"),
        (["a @ https://me:secret@127.0.0.1:1/a-1-py3-none-any.whl"], r"a @ https://127\S+, which is no wheel on this"),
        (["a @ {foreign}"], "its URL leads to a-1-cp27-cp27mu-win32.whl, which is for another Python"),
        (["a @ file://{tmp}/tree0"], "which is no wheel on this machine; allow pip to get it with --index"),
        (["c @ {needs}"], "c 1 asks for a @ file:.*only what a build asks for itself may have a URL"),
    ],
)
def test_what_is_refused(tmp_path: Path, seen: Seen, requires: list[str], expected: str) -> None:
    url = file_url(str(wheel_of(tmp_path)))
    urls = {
        "url": url,
        "tmp": str(tmp_path),
        "foreign": file_url(str(wheel_of(tmp_path, where="foreign", tag="cp27-cp27mu-win32"))),
        "needs": file_url(str(wheel_of(tmp_path, name="c", requires=[f"a @ {url}"]))),
    }
    with pytest.raises(BuildFailed, match=expected) as raised:
        seen(*(each.format(**urls) for each in requires))
    assert "secret" not in str(raised.value)


def test_downloads_are_for_this_build_only(tmp_path: Path, seen: Seen) -> None:
    """pip gets wheels and builds sources, if an index is allowed; nobody gets them for the name alone."""
    there = tmp_path / "there"
    there.mkdir()
    make_wheel(there, "a", "10", {"a.py": ""}, requires=["d"])
    make_wheel(there, "d", "2", {"d.py": ""})
    make_sdist(there, make_tree(tmp_path / "source", "e", "3"), "e", "3")
    with Index(there) as index:
        at = index.files
        assert seen(f"a @ {at}/a-10-py3-none-any.whl", index=index.url) == "a 10 d 2"
        assert seen(f"e @ {at}/e-3.tar.gz", f"d @ {at}/d-2-py3-none-any.whl", index=index.url) == "d 2 e 3"
        assert seen(f"e @ {file_url(str(tmp_path / 'source'))}", index=index.url) == "e 3"
        assert seen("a", index=index.url) == "a 9 b 1"
    fetched = [path.name for path in tmp_path.rglob("wheels/*.whl")]
    assert "a-10-py3-none-any.whl" not in fetched


def test_options_are_no_requirements(tmp_path: Path, seen: Seen) -> None:
    """pip reads options in a file of requirements, and paths; a project has no say in where files come from."""
    there = tmp_path / "there"
    there.mkdir()
    make_wheel(there, "f", "1", {"f.py": ""})
    with Index(there) as index:
        for line in (f"--find-links={there}", "./there/f-1-py3-none-any.whl", f"f\n--find-links={there}"):
            with pytest.raises(BuildFailed, match="which is no requirement"):
                seen("f", line, index=index.url)
        assert index.asked == []
