"""setuptools compiles several extension modules at the same time, if MAX_JOBS says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building import BuildOptions, build_wheel, parse_source
from sage_wheels.building.backend.extension_modules import compiled_at_once
from sage_wheels.building.backend.variables import Variables

# A compiler that waits until two of it run.
_COMPILER = """#!/bin/sh
case " $* " in *" -c "*)
    : >"$MEETING/$$"
    count=0
    while [ "$(ls "$MEETING" | wc -l)" -lt 2 ]; do
        count=$((count + 1)); [ $count -lt 300 ] || exit 1; sleep 0.1
    done
esac
exec cc "$@"
"""
_SETUP = """
from setuptools import Extension, setup
setup(name="two", version="1.0", ext_modules=[Extension("one", ["one.c"]), Extension("other", ["other.c"])])
"""


@pytest.mark.network
@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_two_compilers_run(
    tmp_path: Path,
    options: BuildOptions,
    real_wheelhouse: Path,
    read_wheel: Callable[[str], dict[str, bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (meeting := tmp_path / "meeting").mkdir()
    (compiler := tmp_path / "compiler").write_text(_COMPILER)
    compiler.chmod(0o755)
    (tree := tmp_path / "two").mkdir()
    (tree / "setup.py").write_text(_SETUP)
    (tree / "one.c").write_text("int one;\n")
    (tree / "other.c").write_text("int other;\n")
    for name, value in {"CC": compiler, "MEETING": meeting, "MAX_JOBS": 2}.items():
        monkeypatch.setenv(name, str(value))
    built = build_wheel(
        parse_source(str(tree)),
        wheel_dir=tmp_path / "dist",
        options=options._replace(find_links=(str(real_wheelhouse),)),
    )
    assert sum(name.endswith(".so") for name in read_wheel(built.path)) == 2


def test_setuptools_is_told_where_it_is_not_known_otherwise(tmp_path: Path) -> None:
    told = compiled_at_once(Variables({"MAX_JOBS": "3"}, ()), str(tmp_path), "/seen").environ
    assert told == {"MAX_JOBS": "3", "DIST_EXTRA_CONFIG": "/seen/setuptools.cfg"}
    assert (tmp_path / "setuptools.cfg").read_text() == "[build_ext]\nparallel = 3\n"


@pytest.mark.parametrize(
    "environ",
    [{}, {"MAX_JOBS": ""}, {"MAX_JOBS": "1"}, {"MAX_JOBS": "many"}, {"MAX_JOBS": "2", "DIST_EXTRA_CONFIG": "x.cfg"}],
)
def test_otherwise_nothing_is_different(tmp_path: Path, environ: dict[str, str]) -> None:
    given = Variables(environ, ())
    assert compiled_at_once(given, str(tmp_path), str(tmp_path)) == given
    assert not list(tmp_path.iterdir())
