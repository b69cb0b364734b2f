"""A dozen packages in the genuine tree of Sage 10.7, with build/overlay: `nox -s sage` sets that tree up."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.trees import snapshot

WORK = os.environ.get("GENUINE_SAGE", "")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

pytestmark = [
    pytest.mark.skipif(not WORK, reason="the genuine tree of Sage is not here: nox -s sage sets it up"),
    pytest.mark.slow,
]


class Sage:
    """A tree of Sage."""

    def __init__(self, work: Path, checkout: Path) -> None:
        self.work, self.checkout = work, checkout
        self.root = work / "tree"
        self.log = ""

    @property
    def venv(self) -> Path:
        [venv] = self.root.glob("local/var/lib/sage/venv-python*")
        return venv

    def make(self, *targets: str, jobs: int = 2, **environment: str) -> str:
        """`sage -i`, as it calls make; what that says."""
        env = {"HOME": str(self.work / "home"), "LANG": "C.UTF-8", "TERM": "dumb", "PATH": PATH, "V": "0"}
        env |= {"PIP_CONFIG_FILE": os.devnull, "USER": "builder", "MAKE": f"make -j{jobs}", **environment}
        directory = self.root / "build/make"
        command = ["./install", *targets]
        done = subprocess.run(
            command, cwd=directory, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=1200
        )
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout

    def overlay(self, *options: str) -> None:
        subprocess.run([self.checkout / "build/overlay", self.root, *options], check=True)

    def spkg_log(self, package: str) -> str:
        """The log of the last time that `package` was installed."""
        [log] = self.root.glob(f"logs/pkgs/{package}-[0-9]*.log")
        return log.read_text().rpartition("Setting up build directory")[2]

    def python(self, program: str) -> str:
        command = [str(self.venv / "bin/python3"), "-I", "-B", "-c", program]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def state(self) -> object:
        """The virtual environment, without build directories and what is there before any package."""
        tree = snapshot(self.venv)
        return {path: entry for path, entry in tree.items() if not re.match(r"var(/tmp|/lock|/lib)?(/|$)", path)} | {
            path: entry for path, entry in tree.items() if re.match(r"var/lib/sage/.*/", path)
        }

    def scripts(self) -> dict[str, bytes]:
        places = [*self.root.glob("build/bin/*"), *self.root.glob("build/sage_bootstrap/*.py")]
        return {str(path): path.read_bytes() for path in places if path.is_file()}


@pytest.fixture(scope="module")
def sage(checkout: Path) -> Iterator[Sage]:
    tree = Sage(Path(WORK), checkout)
    tree.overlay("--undo")
    stock = tree.scripts()
    shutil.rmtree(tree.root / "local", ignore_errors=True)
    (tree.root / "local/var/lib/sage/installed").mkdir(parents=True)
    (tree.root / "local/var/lib/sage/installed/.dummy").touch()
    shutil.rmtree(tree.root / "logs", ignore_errors=True)
    tree.overlay()
    yield tree
    tree.overlay("--undo")
    assert tree.scripts() == stock
    assert not (tree.root / "build/sage-wheels").exists()


def test_many_packages_side_by_side(sage: Sage) -> None:
    """Wheels, isolated sdists, one that is built only against what is installed; at -j8, without a retry flag."""
    said = sage.make("hatchling", "python_build", "setuptools_scm", "pexpect", "cycler", "kiwisolver", "six", jobs=8)
    assert "error" not in said
    assert sage.python("import pexpect, cycler, kiwisolver, six, hatchling; print('all')") == "all"
    [note] = {line for line in sage.spkg_log("kiwisolver").splitlines() if "sage-wheels: kiwisolver is built" in line}
    assert "cppy>=1.3.0" in note


def test_the_record_is_what_sage_spkg_writes(sage: Sage) -> None:
    sage.make("six")
    [stamp] = sage.venv.glob("var/lib/sage/installed/six-*")
    files = json.loads(stamp.read_text())["files"]
    assert [Path(path).suffix for path in files] == [".txt", ".whl"]
    assert all((sage.venv / path).is_file() for path in files)
    [installer] = sage.venv.glob("lib/python3*/site-packages/six-*.dist-info/INSTALLER")
    assert installer.read_text() == "sage-wheels\n"


def test_without_isolation(sage: Sage) -> None:
    if not (shutil.which("ninja") and shutil.which("patchelf")):
        pytest.skip("ninja and patchelf are not installed, and Sage would build them")
    sage.make("meson_python")
    assert "without isolation, because" not in sage.spkg_log("meson_python")
    assert sage.python("import mesonpy; print('it')") == "it"


def test_config_settings_reach_the_backend(sage: Sage) -> None:
    script = sage.root / "build/pkgs/cycler/spkg-install.in"
    genuine = script.read_text()
    script.write_text(genuine.replace("sdh_pip_install .", "sdh_pip_install -C --global-option=--no-user-cfg ."))
    assert script.read_text() != genuine
    try:
        sage.make("cycler-no-deps")
    finally:
        script.write_text(genuine)
    assert "Finished installing cycler" in sage.spkg_log("cycler")


def test_clean_leaves_nothing_and_says_nothing_alarming(sage: Sage) -> None:
    sage.make("six-clean")
    before = sage.state()
    sage.make("six")
    assert sage.state() != before
    said = sage.make("six-clean")
    assert sage.state() == before
    assert "arning" not in said
    assert "rror" not in sage.make("six-clean")


def test_what_the_stock_scripts_installed_is_upgraded_and_cleaned(sage: Sage) -> None:
    sage.make("six-clean", "cycler-clean")
    before = sage.state()
    sage.overlay("--undo")
    sage.make("six", "cycler")
    sage.overlay()
    said = sage.make("six-no-deps")
    assert "rror" not in said
    assert "stays until the new version takes its place" in sage.spkg_log("six")
    said = sage.make("six-clean", "cycler-clean")
    assert "arning" not in said
    assert sage.state() == before


def test_an_editable_package_is_recorded_and_cleaned(sage: Sage) -> None:
    sage.make("sage_conf-SAGE_VENV-uninstall")
    before = sage.state()
    sage.make("sage_conf-SAGE_VENV-no-deps", SAGE_EDITABLE="yes")
    assert sage.python("import sage_conf; print(sage_conf.__file__)").startswith(str(sage.root))
    sage.make("sage_conf-SAGE_VENV-uninstall")
    assert sage.state() == before


def test_a_package_is_there_all_the_time_that_it_is_installed_again(sage: Sage) -> None:
    """sage-spkg uninstalls before it installs; whoever imports the package meanwhile finds it."""
    sage.make("setuptools")
    program = (
        "import importlib.util, sys, time\n"
        "while True:\n"
        "    importlib.invalidate_caches()\n"
        "    if importlib.util.find_spec('setuptools') is None: sys.exit(3)\n"
        "    time.sleep(0.001)\n"
    )
    looker = subprocess.Popen([sage.venv / "bin/python3", "-I", "-B", "-c", program])
    try:
        sage.make("setuptools-no-deps")
        assert looker.poll() is None
    finally:
        looker.kill()
        looker.wait()
