"""What the tools say of their version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_wheels.building.inputs import tools
from sage_wheels.store.store import Store

# As rustup: both names are one program, which writes its settings when it is first called.
ONE_AT_A_TIME = """#!/bin/sh
mkdir "$HOME/busy" 2>/dev/null || { echo "error: could not parse settings in $HOME"; exit 1; }
sleep 0.2
rmdir "$HOME/busy"
echo "${0##*/} 1.0"
"""


def test_a_program_of_two_names_is_asked_for_one_after_the_other(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "cargo").write_text(ONE_AT_A_TIME)
    (programs / "cargo").chmod(0o755)
    os.link(programs / "cargo", programs / "rustc")
    (programs / "ninja").symlink_to("cargo")
    environ = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path)}
    said = tools.Tools(environ, "").versions(Store(str(tmp_path / "store")))
    assert {name: said[name] for name in ("cargo", "ninja", "rustc")} == {
        name: f"{name} 1.0" for name in ("cargo", "ninja", "rustc")
    }


@pytest.mark.parametrize(
    ("lines", "version"),
    [
        (
            ["nvcc: NVIDIA (R) Cuda compiler driver", "Copyright (c) 2005-2023 NVIDIA", "Cuda, release {}.8, V{}.8.9"],
            "Cuda, release 4.8, V4.8.9",
        ),
        (["", "nvc {}.3-0 64-bit target on x86-64", "NVIDIA Compilers"], "nvc 4.3-0 64-bit target on x86-64"),
        (["ld {}.4", "the GNU General Public License version 3"], "ld 4.4"),
        (["it has no numbers", "at all"], "it has no numbers"),
    ],
)
def test_a_version_may_be_in_any_line(tmp_path: Path, lines: list[str], version: str) -> None:
    text = "\n".join(lines).replace("{}", "4")
    (tmp_path / "nvcc").write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    (tmp_path / "nvcc").chmod(0o755)
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    assert tools.Tools(environ, "").versions(Store(str(tmp_path / "store")))["nvcc"] == version


@pytest.mark.parametrize(
    "wrapper", ['exec {}/real-cc "$@"', "exec real-cc", "ccache '{}/real-cc' \"$@\"", "{}/between"]
)
def test_a_compiler_that_a_script_starts(tmp_path: Path, wrapper: str) -> None:
    """Its new version is noticed, though the script stays as it is."""
    real, path = tmp_path / "real", tmp_path / "bin"
    environ = {"PATH": f"{path}:{real if wrapper == 'exec real-cc' else path}:/usr/bin:/bin", "HOME": str(tmp_path)}

    def program(place: Path, text: str) -> None:
        place.parent.mkdir(exist_ok=True)
        place.write_text(f"#!/bin/sh\n{text}\n")
        place.chmod(0o755)

    program(path / "ccache", 'exec "$@"')
    program(real / "between", f"{real}/real-cc")
    program(path / "cc", wrapper.format(real))
    store = Store(str(tmp_path / "store"))
    for version in ("1.0", "2.0"):
        program(real / "real-cc", f"echo real-cc {version}")
        assert tools.Tools(environ, "").versions(store)["cc"] == f"real-cc {version}"


def test_a_toolchain_that_is_not_the_default(tmp_path: Path) -> None:
    """A rust-toolchain.toml may choose it; what rustup says without one stays the same."""
    hashes = tmp_path / ".rustup" / "update-hashes"
    hashes.mkdir(parents=True)
    environ = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    store = Store(str(tmp_path / "store"))
    (hashes / "stable").write_text("1")
    before = tools.Tools(environ, "").versions(store)
    (hashes / "nightly").write_text("2")
    after = tools.Tools(environ, "").versions(store)
    (hashes / "nightly").write_text("3")
    assert len({before["rustup"], after["rustup"], tools.Tools(environ, "").versions(store)["rustup"]}) == 3
    (hashes / "nightly").unlink()
    assert tools.Tools(environ, "").versions(store) == before


def test_a_tool_that_was_built_again_is_another_one(tmp_path: Path) -> None:
    """Though it prints the same version. A script before it is passed over: a build among many has such."""
    store = Store(str(tmp_path / "store"))
    environ = {"PATH": f"{tmp_path}/scripts:{tmp_path}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    seen = []
    for number in (1, 2):
        for directory, content in (("bin", b"\x7fELF%d" % number), ("scripts", b"#!/bin/sh\n# %d\n" % number)):
            (tmp_path / directory).mkdir(exist_ok=True)
            (tmp_path / directory / "cc").write_bytes(content)
            (tmp_path / directory / "cc").chmod(0o755)
            found = tools.Tools(environ, "").elsewhere(store)
            assert "program ld" not in found  # the list of packages tells
            seen.append(found["program cc"])
    assert seen[0] == seen[1] != seen[2] == seen[3]
