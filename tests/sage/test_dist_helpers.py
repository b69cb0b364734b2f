"""The sdh_* functions, called as the wrappers of sage-spkg call them, through a whole life of a package.

`Spkg` does what sage-spkg and sage-spkg-uninstall do around them, in the same order; `test_genuine` has the real ones.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sage_wheels.prefix import find_prefix
from sage_wheels.requirements.references import file_url
from support.house import entries
from support.projects import WRITING
from support.run import names, python
from support.trees import make_prefix, site_packages, snapshot
from support.wheels import make_wheel

from .conftest import Scripts

SCRIPT = """
for lib in "$SAGE_ROOT/build/bin/sage-dist-helpers-python"; do source "$lib"; done
export SAGE_VENV="$VENV" SAGE_LOCAL="$VENV"
cd "$SAGE_PKG_DIR" || exit
"""


class Spkg:
    """One package of Sage in the tree `prefix`, which is a virtual environment."""

    def __init__(self, scripts: Scripts, prefix: Path, name: str = "pkg", version: str = "1.0") -> None:
        self.scripts, self.prefix, self.name, self.version = scripts, prefix, name, version
        self.sudo = ""
        self.user: tuple[str, ...] = ()  # the command with which somebody else runs a command
        self.build = prefix / "var/tmp/sage/build" / f"{name}-{version}"
        self.state = prefix / "var/lib/sage"
        self.requirements = self.state / "scripts" / name / "spkg-requirements.txt"
        self.stamp = self.state / "installed" / f"{name}-{version}"
        self.log = ""

    def start(self, script: str, directory: Path, **more: str) -> subprocess.Popen[str]:
        """Start a script in a session of its own."""
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("SAGE_")},
            "SAGE_ROOT": str(self.scripts.root),
            "SAGE_PKG_DIR": str(directory),
            "SAGE_SPKG_SCRIPTS": str(self.state / "scripts"),
            "SAGE_SPKG_WHEELS": str(self.state / "wheels"),
            "SAGE_INST_LOCAL": str(self.prefix),
            "SAGE_BUILD_DIR": str(self.build.parent),
            "SAGE_SUDO": self.sudo,
            "VENV": str(self.prefix),
            "PKG_NAME": f"{self.name}-{self.version}",
            "PKG_BASE": self.name,
            "PKG_VER": self.version,
            "LC_ALL": "C",
            **more,
        }
        command = [*self.user, "bash", "-c", SCRIPT + script]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True)

    def bash(self, script: str, directory: Path, **more: str) -> int:
        process = self.start(script, directory, **more)
        self.log += "".join(process.communicate())
        return process.returncode

    def prepare(self) -> None:
        """An empty build directory; and what sage-spkg makes for every package."""
        shutil.rmtree(self.build, ignore_errors=True)
        (self.build / "dist").mkdir(parents=True)

    def install(self, script: str = "sdh_store_and_pip_install_wheel .", directory: str = "") -> int:
        """sage-spkg, after the package was unpacked into the build directory."""
        destdir = self.build / "inst"
        self.uninstall(SAGE_DESTDIR=str(destdir))
        status = self.bash(script, self.build / directory, SAGE_DESTDIR=str(destdir))
        if status:
            return status
        stored = self.build / "spkg-stored"
        files = sorted(set(stored.read_text().split())) if stored.exists() else []
        if self.requirements.exists() and (self.build / "spkg-piprm").exists():
            shutil.copy(self.build / "spkg-piprm", self.requirements.parent)
        if (self.build / "spkg-pipinst").exists():
            status = self.bash((self.build / "spkg-pipinst").read_text(), self.build)
        if status == 0:
            self.stamp.parent.mkdir(parents=True, exist_ok=True)
            self.stamp.write_text(json.dumps({"package_name": self.name, "files": files}))
            shutil.rmtree(self.build)
        return status

    def uninstall(self, **environment: str) -> None:
        """sage-spkg-uninstall."""
        for stamp in self.stamp.parent.glob(f"{self.name}-*"):
            piprm = self.requirements.parent / "spkg-piprm"
            if piprm.exists():
                self.bash(piprm.read_text(), self.scripts.root, **environment)
            for file in json.loads(stamp.read_text())["files"]:
                (self.prefix / file).unlink()
            shutil.rmtree(self.requirements.parent, ignore_errors=True)
            stamp.unlink()


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    return make_prefix(tmp_path, "venv")


def sources(directory: Path, *, requires: str = "") -> None:
    """The source tree of the project `tree`."""
    (directory / "code").mkdir(parents=True)
    (directory / "backend.py").write_text(WRITING)
    (directory / "pyproject.toml").write_text(
        f'[build-system]\nrequires = [{requires}]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "tree"\nversion = "1.0"\n'
    )


def package_of_sources(scripts: Scripts, prefix: Path, *, requires: str = "") -> Spkg:
    """The package `tree`, with the source tree of the project in `src`."""
    spkg = Spkg(scripts, prefix, "tree")
    spkg.prepare()
    sources(spkg.build / "src", requires=requires)
    return spkg


def everything(prefix: Path) -> object:
    """The prefix, without the temporary files of Sage and without its empty directories."""
    tree = snapshot(prefix)
    return {path: entry for path, entry in tree.items() if path != "var" and not path.startswith("var/")}


def state(spkg: Spkg) -> list[str]:
    """The files that Sage keeps about packages."""
    return sorted(str(path.relative_to(spkg.state)) for path in spkg.state.rglob("*") if path.is_file())


def test_the_life_of_a_wheel_package(scripts: Scripts, venv: Path) -> None:
    before = everything(venv)
    spkg = Spkg(scripts, venv)
    spkg.prepare()
    make_wheel(spkg.build / "dist", "pkg", "1.0", {"pkg.py": "version = 1\n"})
    assert spkg.install() == 0, spkg.log
    wheel = venv / "var/lib/sage/wheels/pkg-1.0-py3-none-any.whl"
    assert names(venv) == ["pkg 1.0"]
    assert spkg.requirements.read_text() == f"pkg @ file://{wheel}\n"
    assert json.loads(spkg.stamp.read_text())["files"] == [
        "var/lib/sage/scripts/pkg/spkg-requirements.txt",
        "var/lib/sage/wheels/pkg-1.0-py3-none-any.whl",
    ]
    assert state(spkg) == [
        "installed/pkg-1.0",
        "scripts/pkg/spkg-piprm",
        "scripts/pkg/spkg-requirements.txt",
        "wheels/pkg-1.0-py3-none-any.whl",
    ]
    spkg.uninstall()
    assert (everything(venv), state(spkg)) == (before, [])


def test_an_upgrade_never_leaves_the_package_out(scripts: Scripts, venv: Path) -> None:
    """sage-spkg uninstalls before it builds: what is there stays until the new version takes its place."""
    before = everything(venv)
    old = Spkg(scripts, venv)
    old.prepare()
    make_wheel(old.build / "dist", "pkg", "1.0", {"pkg/__init__.py": "version = 1\n", "pkg/old.py": ""})
    assert old.install() == 0, old.log
    new = Spkg(scripts, venv, version="2.0")
    new.prepare()
    make_wheel(new.build / "dist", "pkg", "2.0", {"pkg/__init__.py": "version = 2\n"})
    look = '"$VENV/bin/python" -B -c "import pkg; print(\'building with\', pkg.version)"; '
    assert new.install(look + "sdh_store_and_pip_install_wheel .") == 0, new.log
    assert "building with 1" in new.log
    assert python(venv, "import pkg; print(pkg.version)") == "2"
    assert not (site_packages(venv) / "pkg/old.py").exists()
    assert not list(venv.glob("var/lib/sage-wheels/superseded/*"))
    new.uninstall()
    assert (everything(venv), state(new)) == (before, [])


def test_what_the_new_version_no_longer_brings_goes_with_the_old_one(scripts: Scripts, venv: Path) -> None:
    old = Spkg(scripts, venv)
    old.prepare()
    for each in ("one", "two"):
        make_wheel(old.build / each / "dist", each, "1.0", {f"{each}.py": ""})
    install = "(cd one; sdh_store_and_pip_install_wheel .); (cd two; sdh_store_and_pip_install_wheel .)"
    assert old.install(install) == 0, old.log
    assert names(venv) == ["one 1.0", "two 1.0"]
    new = Spkg(scripts, venv, version="2.0")
    new.prepare()
    make_wheel(new.build / "dist", "one", "2.0", {"one.py": ""})
    assert new.install() == 0, new.log
    assert names(venv) == ["one 2.0"]


def test_a_build_that_fails_leaves_the_old_version_working(scripts: Scripts, venv: Path) -> None:
    before = everything(venv)
    old = Spkg(scripts, venv)
    old.prepare()
    make_wheel(old.build / "dist", "pkg", "1.0", {"pkg.py": "version = 1\n"})
    assert old.install() == 0, old.log
    new = Spkg(scripts, venv, version="2.0")
    new.prepare()
    (new.build / "src").mkdir()
    assert new.install("sdh_pip_install .", "src") != 0
    assert "Error building a wheel for pkg-2.0" in new.log
    assert python(venv, "import pkg; print(pkg.version)") == "1"
    # a second attempt replaces it; and so does 'make PKG-clean' take it out (sage-spkg-uninstall, in test_overlay)
    new.prepare()
    make_wheel(new.build / "dist", "pkg", "2.0", {"pkg.py": "version = 2\n"})
    assert new.install() == 0, new.log
    assert names(venv) == ["pkg 2.0"]
    new.uninstall()
    assert (everything(venv), state(new)) == (before, [])


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("", {}),
        ("--build-isolation", {}),
        ("--no-build-isolation --no-deps", {}),
        ("--no-isolation", {}),
        ('-C setup-args="-Dx=true -Dy"', {"setup-args": "-Dx=true -Dy"}),
        (
            '--config-settings "--global-option=--no-wait" --config-settings "--global-option=-v"',
            {"--global-option": ["--no-wait", "-v"]},
        ),
    ],
)
def test_a_source_package(scripts: Scripts, venv: Path, options: str, settings: object) -> None:
    spkg = package_of_sources(scripts, venv)
    before = everything(venv)
    assert spkg.install(f"sdh_pip_install {options} .", "src") == 0, spkg.log
    assert python(venv, "import tree; print(tree.settings)") == str(settings)
    assert [path.name for path in (venv / "var/lib/sage/wheels").iterdir()] == ["tree-1.0-py3-none-any.whl"]
    spkg.uninstall()
    assert (everything(venv), state(spkg)) == (before, [])


@pytest.mark.parametrize("function", ["sdh_pip_install", "sdh_pip_editable_install"])
def test_a_package_that_does_not_know_this_python_yet_is_installed_and_said(
    scripts: Scripts, venv: Path, function: str
) -> None:
    """As by the genuine scripts, which add --ignore-requires-python at the second try."""
    spkg = package_of_sources(scripts, venv)
    head = "Name: {name}\\n"
    (spkg.build / "src/backend.py").write_text(WRITING.replace(head, f"{head}Requires-Python: <3\\n"))
    assert spkg.install(f"{function} .", "src") == 0, spkg.log
    assert names(venv) == ["tree 1.0"]
    assert spkg.log.count("note: tree 1.0 needs Python <3, not ") == 1


def test_the_log_is_shown_while_it_is_written(scripts: Scripts, venv: Path, tmp_path: Path) -> None:
    """For hours, with some packages; and somebody may press Ctrl-C because of what it says."""
    spkg = Spkg(scripts, venv)
    spkg.prepare()
    sources(spkg.build / "src")
    go = tmp_path / "go"
    waiting = f"""
import os, time
os.write(1, b"compiling\\n")
for _ in range(12000):
    time.sleep(0.01)
    if os.path.exists({str(go)!r}): break
else: raise ValueError("nobody has seen that")
"""
    (spkg.build / "src/backend.py").write_text(WRITING + waiting)
    script = f"sdh_build_wheel . | while read -r line; do case $line in compiling) touch '{go}' ;; esac; done"
    assert spkg.bash(f"set -o pipefail; {script}", spkg.build / "src") == 0, spkg.log
    assert go.exists()


def test_what_cannot_be_built_in_isolation_is_built_without_and_said(scripts: Scripts, venv: Path) -> None:
    spkg = package_of_sources(scripts, venv, requires='"no-such-thing>=3"')
    assert spkg.install("sdh_pip_install .", "src") == 0, spkg.log
    assert names(venv) == ["tree 1.0"]
    lines = spkg.log.splitlines()
    [line] = [line for line in lines if line.startswith("sage-wheels:") and "without isolation" in line]
    assert "no-such-thing>=3" in line


@pytest.mark.parametrize("function", ["sdh_pip_install", "sdh_build_wheel", "sdh_build_and_store_wheel"])
def test_what_is_built_is_the_current_directory_if_no_other_is_named(
    scripts: Scripts, venv: Path, function: str
) -> None:
    spkg = package_of_sources(scripts, venv)
    assert spkg.bash(f"{function} --no-build-isolation", spkg.build / "src") == 0, spkg.log
    assert "tree-1.0-py3-none-any.whl" in spkg.log


def test_build_and_store_does_not_install(scripts: Scripts, venv: Path) -> None:
    spkg = package_of_sources(scripts, venv)
    assert spkg.install("sdh_build_and_store_wheel --no-isolation .", "src") == 0, spkg.log
    assert names(venv) == []
    assert (venv / "var/lib/sage/wheels/tree-1.0-py3-none-any.whl").exists()
    spkg.uninstall()
    assert state(spkg) == []


@pytest.mark.parametrize("name", ["plain-1.0~a", "a b", "a/../b"])
def test_a_stored_wheel_is_in_the_manifest_once(scripts: Scripts, tmp_path: Path, name: str) -> None:
    """No Python is needed for that if its URL is plain."""
    (tmp_path / "a").mkdir()
    spkg = Spkg(scripts, make_prefix(tmp_path, name.rpartition("/")[2]))
    spkg.state = tmp_path / name / "var/lib/sage"
    spkg.prepare()
    wheel = make_wheel(spkg.build / "dist", "Foo.bar", "1.0", {"foo.py": ""})
    if name[0] == "p":
        Path(scripts.path("sage-wheels")).write_text("#!/bin/sh\nexit 1\n")
    assert spkg.bash('sdh_store_wheel . && cp "$wheel" dist && sdh_store_wheel .', spkg.build) == 0, spkg.log
    stored = os.path.normpath(spkg.state / "wheels" / wheel.name)
    assert spkg.requirements.read_text() == f"{wheel.name.partition('-')[0]} @ {file_url(stored)}\n"


@pytest.mark.parametrize("python", ["of the system", "of an environment"])
@pytest.mark.parametrize("function", ["sdh_pip_install", "sdh_build_and_store_wheel"])
def test_without_a_virtual_environment_wheels_are_only_stored(
    scripts: Scripts, tmp_path: Path, function: str, python: str
) -> None:
    """passagemath, configured with --with-sage-venv=none: SAGE_VENV is SAGE_LOCAL, and there is no Python in it."""
    local = tmp_path / "local"
    local.mkdir()
    spkg = package_of_sources(scripts, local)
    (spkg.build / "src/hook.py").write_text(
        "if hook == 'build_wheel': import sys; content['of.py'] = sys.base_prefix\n"
    )
    tools = make_prefix(tmp_path, "tools")
    before = snapshot(tools)
    disabled = "export SAGE_VENV_FLAGS=DISABLED; "
    if python == "of an environment":
        disabled += f"export PATH='{tools}/bin':\"$PATH\"; "
    for script in (f"{function} .", "sdh_pip_uninstall tree", "sdh_pip_editable_install ."):
        assert spkg.bash(f"{disabled}{script}", spkg.build / "src") == 0, spkg.log
    assert state(spkg) == ["scripts/tree/spkg-requirements.txt", "wheels/tree-1.0-py3-none-any.whl"]
    with zipfile.ZipFile(spkg.state / "wheels/tree-1.0-py3-none-any.whl") as wheel:
        assert wheel.read("of.py").decode() == sys.base_prefix
    assert not [*spkg.build.glob("spkg-pipinst"), *spkg.build.glob("spkg-piprm")]
    assert everything(local) == {}
    assert snapshot(tools) == before


@pytest.mark.parametrize(
    ("requires", "options", "is_checked", "is_enough"),
    [
        ("", "", True, True),
        ('"no-such-thing>=3"', "", True, False),
        ('"no-such-thing>=3"', "--no-build-isolation", False, True),
        ("", "--build-isolation", False, True),
    ],
    ids=["enough", "not enough", "told", "told otherwise"],
)
def test_with_the_packages_of_the_system_they_count_for_builds(
    scripts: Scripts, venv: Path, requires: str, options: str, is_checked: bool, is_enough: bool
) -> None:
    """passagemath, configured with --enable-system-site-packages: no isolation, first with the check."""
    spkg = package_of_sources(scripts, venv, requires=requires)
    tool = scripts.bin / "sage-wheels"
    told = scripts.root / "told"
    tool.write_text(tool.read_text().replace("set -eu\n", f'set -eu\necho "$*" >>"{told}"\n', 1))
    script = f"export ENABLE_SYSTEM_SITE_PACKAGES=yes; sdh_build_wheel {options} ."
    assert spkg.bash(script, spkg.build / "src") == 0, spkg.log
    builds = [line for line in told.read_text().splitlines() if line.startswith("build ")]
    assert ["--skip-dependency-check" not in line for line in builds] == [True] * is_checked + [False] * (
        not is_checked or not is_enough
    )
    assert all("--no-isolation" in line for line in builds if options != "--build-isolation")
    assert ("trying again without looking at the build requirements" in spkg.log) == (not is_enough)
    assert [path.name for path in (spkg.build / "src/dist").glob("*.whl")] == ["tree-1.0-py3-none-any.whl"]


def test_an_editable_package_is_recorded_and_removed(scripts: Scripts, venv: Path, tmp_path: Path) -> None:
    before = everything(venv)
    sources(tmp_path / "library")
    (tmp_path / "library/code/tree.py").write_text("in_place = True\n")
    spkg = Spkg(scripts, venv, "tree")
    for also in ("", "; sdh_build_and_store_wheel --no-isolation ."):  # with SAGE_WHEELS=yes, the second as well
        spkg.prepare()
        (spkg.build / "src").symlink_to(tmp_path / "library")
        assert spkg.install(f"sdh_pip_editable_install .{also}", "src") == 0, spkg.log
        assert python(venv, "import tree; print(tree.in_place)") == "True"
        assert spkg.requirements.exists()
        stored = [line for line in state(spkg) if line.startswith("wheels/")]
        assert stored == (["wheels/tree-1.0-py3-none-any.whl"] if also else []), "an editable wheel is never stored"
    spkg.uninstall()
    assert (everything(venv), state(spkg)) == (before, [])


@pytest.mark.parametrize("function", ["sdh_pip_install", "sdh_pip_editable_install"])
def test_sagelib_hides_the_tree_from_its_build(scripts: Scripts, venv: Path, function: str) -> None:
    """sagemath/sage#38304, #38293, #38253: it was built and stored then, but not installed."""
    before = everything(venv)
    spkg = package_of_sources(scripts, venv)
    script = "content['tree-1.0.data/scripts/sage-ipython'] = '#!python\\n'\n"
    (spkg.build / "src/hook.py").write_text(f"if hook.startswith('build_'): {script}")
    variables = ("SAGE_ROOT", "SAGE_SRC", "SAGE_SRC_ROOT", "SAGE_DOC_SRC", "SAGE_PKGCONFIG", "SAGE_SHARE")
    hidden = "".join(f"export {name}=/doesnotexist; " for name in variables) + "unset SAGE_LOCAL SAGE_PKG_CONFIG_PATH; "
    assert spkg.install(f"{hidden}{function} .", "src") == 0, spkg.log
    assert names(venv) == ["tree 1.0"]
    assert (venv / "bin/sage-ipython").exists()
    assert spkg.requirements.read_text().startswith("tree @ file://")
    spkg.uninstall()
    assert (everything(venv), state(spkg)) == (before, [])


def test_what_setuptools_develops_is_recorded_and_removed(scripts: Scripts, venv: Path, tmp_path: Path) -> None:
    """As sagelib wants it: setuptools then has no build_editable."""
    before = everything(venv)
    library = tmp_path / "library"
    sources(library)
    spkg = Spkg(scripts, venv, "lib")
    spkg.prepare()
    for name in ("tree", "gone"):
        make_wheel(spkg.build / "dist", name, "0.9", {f"{name}.py": ""})
        assert spkg.bash("sdh_store_and_pip_install_wheel .", spkg.build) == 0, spkg.log
    shutil.copy(spkg.build / "spkg-piprm", spkg.requirements.parent)
    spkg.stamp.parent.mkdir()
    spkg.stamp.write_text('{"files": []}')
    pip = tmp_path / "path/python3"  # what pip and setuptools do to the prefix
    pip.parent.mkdir()
    pip.write_text(
        "#!/bin/sh\n"
        f'cd "{site_packages(venv)}" && rm -rf tree* __pycache__\n'
        f'printf "%s\\n." "{library}" >tree.egg-link; echo "{library}" >easy-install.pth; echo "$@" >>"{library}/log"\n'
    )
    pip.chmod(0o755)
    develop = 'export PATH="$STUBS:$PATH" SETUPTOOLS_ENABLE_FEATURES=legacy-editable; sdh_pip_editable_install . --more'
    for _ in range(2):
        spkg.prepare()
        (spkg.build / "src").symlink_to(library)
        assert spkg.install(f"STUBS='{pip.parent}'; {develop}", "src") == 0, spkg.log
        assert names(venv) == ["tree"]
        assert [(entry.name, entry.package, entry.source) for entry in entries(find_prefix(venv)).values()] == [
            ("tree", "lib", str(library))
        ]
        listed = scripts.run("sage-wheels", "list", "--prefix", venv).stdout
        assert listed.split()[:4] == ["tree", "-", "-", "editable:"]
        assert listed.split()[-2:] == ["package", "lib"]
    for line in (library / "log").read_text().splitlines():
        assert line.endswith("--no-build-isolation --isolated --editable ./ --more")
    spkg.log = ""
    spkg.uninstall()
    assert spkg.log == f"sage-wheels: tree uninstalled from {venv}\n"
    (site_packages(venv) / "easy-install.pth").unlink(missing_ok=True)
    assert (everything(venv), list((venv / "var/lib/sage-wheels").glob("superseded/*"))) == (before, [])


def test_a_tree_that_nobody_has_linked_is_not_recorded(scripts: Scripts, prefix: Path, tmp_path: Path) -> None:
    done = scripts.run("sage-pip-install", "--developed", "--record", tmp_path / "record", "-e", tmp_path)
    assert (done.returncode, (tmp_path / "record").exists()) == (1, False)
    assert f"no .egg-link in {prefix} leads to {tmp_path}" in done.stderr


def test_a_script_package_without_destdir_installs_at_once(scripts: Scripts, venv: Path, tmp_path: Path) -> None:
    spkg = Spkg(scripts, venv)
    make_wheel(tmp_path / "work/dist", "pkg", "1.0", {"pkg.py": ""})
    assert spkg.bash("sdh_store_and_pip_install_wheel .", tmp_path / "work") == 0, spkg.log
    assert names(venv) == ["pkg 1.0"]
    assert "sdh_pip_uninstall" in (spkg.requirements.parent / "spkg-piprm").read_text()


@pytest.mark.parametrize("before", ["", "set -e; "])
def test_an_editable_package_that_cannot_be_built_leaves_nothing(
    scripts: Scripts, venv: Path, tmp_path: Path, before: str
) -> None:
    sources(tmp_path / "library")
    (tmp_path / "library/backend.py").write_text("print('the last words'); exit(1)\n")
    (tmp_path / "tmp").mkdir()
    spkg = Spkg(scripts, venv, "tree")
    script = f"{before}sdh_pip_editable_install ."
    assert spkg.bash(script, tmp_path / "library", TMPDIR=str(tmp_path / "tmp")) != 0
    assert "the last words" in spkg.log
    assert "Error installing tree-1.0" in spkg.log
    assert (list((tmp_path / "tmp").iterdir()), names(venv), state(spkg)) == ([], [], [])
    spkg.prepare()
    assert spkg.bash(script, tmp_path / "library") != 0
    [log] = re.findall(r"the whole log is (\S+)\)", spkg.log)[1:]
    assert log.startswith(f"{spkg.build}/")
    assert "the last words" in Path(log).read_text()


@pytest.mark.parametrize("function", ["sdh_pip_install", "sdh_pip_editable_install"])
def test_sage_sudo_runs_what_changes_the_tree_and_nothing_else(
    scripts: Scripts, venv: Path, tmp_path: Path, function: str
) -> None:
    sudo, log = tmp_path / "sudo", tmp_path / "sudo.log"
    sudo.write_text(f'#!/bin/sh\necho "$@" >>"{log}"\nexec env -i PATH=/usr/bin:/bin "$@"\n')  # as sudo resets it
    sudo.chmod(0o755)
    spkg = package_of_sources(scripts, venv)
    spkg.sudo = str(sudo)
    assert spkg.bash(f"{function} .", spkg.build / "src") == 0, spkg.log
    assert names(venv) == ["tree 1.0"]
    commands = [line.split() for line in log.read_text().splitlines()]
    assert not [words for words in commands if "build" in words]
    assert [words for words in commands if "pip-install" in words]
    assert spkg.bash("sdh_pip_uninstall tree", tmp_path) == 0
    assert names(venv) == []


@pytest.mark.parametrize(
    "script",
    [
        *("sdh_store_wheel pkg", "sdh_store_wheel .", "sdh_store_and_pip_install_wheel x"),
        *("sdh_pip_editable_install", "set -e; sdh_pip_editable_install"),
    ],
)
def test_what_makes_no_sense_ends_the_script(scripts: Scripts, venv: Path, script: str) -> None:
    spkg = Spkg(scripts, venv)
    spkg.prepare()
    assert spkg.bash(f"{script}; exit 0", spkg.build, SAGE_DESTDIR="/x") != 0
    assert "Error: " in spkg.log


def test_uninstalling_twice_says_nothing(scripts: Scripts, venv: Path) -> None:
    spkg = Spkg(scripts, venv)
    assert spkg.bash('sdh_pip_uninstall -r "$SAGE_SPKG_SCRIPTS/$PKG_BASE/spkg-requirements.txt"', venv) == 0
    assert spkg.bash("sdh_pip_uninstall pkg", venv) == 0
    assert spkg.log == ""


def test_uninstalling_that_fails_is_said(scripts: Scripts, venv: Path) -> None:
    (venv / "pyvenv.cfg").unlink()
    (venv / "lib").rename(venv / "no lib")  # no prefix any more
    spkg = Spkg(scripts, venv)
    for before in ("", "set -e; "):
        assert spkg.bash(f"{before}sdh_pip_uninstall pkg", venv) != 0
    assert spkg.log.count("Warning: uninstalling exited with status 1") == 2, spkg.log


@pytest.mark.parametrize("name", ["a b", "ü"])
def test_the_path_of_the_tree_may_be_of_any_kind(scripts: Scripts, tmp_path: Path, name: str) -> None:
    venv = make_prefix(tmp_path / name, "venv")
    before = everything(venv)
    spkg = Spkg(scripts, venv)
    spkg.prepare()
    make_wheel(spkg.build / "dist", "pkg", "1.0", {"pkg.py": ""})
    assert spkg.install() == 0, spkg.log
    assert names(venv) == ["pkg 1.0"]
    assert [entry.source for entry in entries(find_prefix(venv)).values()] == [
        f"{venv}/var/lib/sage/wheels/pkg-1.0-py3-none-any.whl"
    ]
    spkg.uninstall()
    assert (everything(venv), state(spkg)) == (before, [])


def test_functions_reach_children(scripts: Scripts, venv: Path) -> None:
    spkg = Spkg(scripts, venv)
    spkg.prepare()
    make_wheel(spkg.build / "dist", "pkg", "1.0", {"pkg.py": ""})
    assert spkg.install("bash -c 'sdh_store_and_pip_install_wheel .'") == 0, spkg.log
    assert names(venv) == ["pkg 1.0"]


@pytest.mark.parametrize("function", ["sdh_pip_install --no-build-isolation", "sdh_pip_editable_install"])
def test_what_sagelib_was_called_before_goes(scripts: Scripts, venv: Path, tmp_path: Path, function: str) -> None:
    """Sage 10.7 linked its library as sagemath-standard, and the stock scripts kept no record of that."""
    library = site_packages(venv)
    (tmp_path / "old").mkdir()
    (tmp_path / "old/sagemath_standard.egg-info").mkdir()
    (tmp_path / "old/sagemath_standard.egg-info/PKG-INFO").write_text("Name: sagemath-standard\nVersion: 10.7\n")
    (library / "sagemath-standard.egg-link").write_text(f"{tmp_path}/old\n.")
    (library / "easy-install.pth").write_text(f"{tmp_path}/old\n")
    assert len(names(venv)) == 1
    sources(tmp_path / "library")
    spkg = Spkg(scripts, venv, "sagelib")
    spkg.prepare()
    assert spkg.bash(f"{function} .", tmp_path / "library") == 0, spkg.log
    assert names(venv) == ["tree 1.0"]
    assert str(tmp_path / "old") not in "".join(path.read_text() for path in library.glob("*.pth"))
    assert not list(venv.glob("var/lib/sage-wheels/superseded/*"))


def test_a_wheel_that_was_built_before_comes_from_the_store(scripts: Scripts, tmp_path: Path) -> None:
    """In another tree, too; and it is built again if what its dependencies file names is another one."""
    ran = tmp_path / "ran"
    dependencies = {"pkg": "liba | $(PYTHON)\n", "liba": "libb\n", "libb": "\n"}
    for name, text in dependencies.items():
        (scripts.root / "build/pkgs" / name).mkdir(parents=True)
        (scripts.root / "build/pkgs" / name / "dependencies").write_text(text)

    def runs(spkg: Spkg) -> int:
        spkg.prepare()
        tree = spkg.build
        (tree / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "tiny"\nbackend-path = ["."]\n'
            '[project]\nname = "tree"\nversion = "1.0"\n'
        )
        (tree / "tiny.py").write_text(WRITING + f"\nopen({str(ran)!r}, 'a').write('x')\n")
        before = len(ran.read_text()) if ran.exists() else 0
        assert spkg.install("sdh_pip_install .") == 0, spkg.log
        return len(ran.read_text()) - before

    def record(spkg: Spkg, name: str) -> None:
        (spkg.state / "installed").mkdir(parents=True, exist_ok=True)
        (spkg.state / "installed" / name).touch()

    first = Spkg(scripts, make_prefix(tmp_path, "one"))
    record(first, "libb-1.0")
    assert runs(first) > 0
    assert runs(first) == 0
    assert "tree comes from the store" in first.log
    record(first, "unrelated-1.0")
    assert runs(first) == 0
    second = Spkg(scripts, make_prefix(tmp_path, "two"))
    record(second, "libb-1.0")
    assert runs(second) == 0
    (second.state / "installed" / "libb-1.0").rename(second.state / "installed" / "libb-1.1")
    assert runs(second) > 0
    assert runs(second) == 0
