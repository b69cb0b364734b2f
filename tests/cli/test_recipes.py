"""The recipes of the manual: each is run by the tools of its system as far as these are here, else its own commands."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.projects import COPYING, backend_tree
from support.run import tool_environment
from support.wheels import make_wheel

DEBIAN = "/usr/bin/python3"
IS_DEBIAN = os.path.exists("/etc/debian_version") and os.path.exists(DEBIAN)

pytestmark = [pytest.mark.slow, pytest.mark.once]


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """One in which the tool is on PATH, as its own package would put it there."""
    launcher = tmp_path / "bin/sage-wheels"
    launcher.parent.mkdir()
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} -m sage_wheels "$@"\n')
    launcher.chmod(0o755)
    (tmp_path / "home").mkdir()
    path = f"{launcher.parent}:{os.environ['PATH']}"
    return tool_environment(PATH=path, SOURCE_DATE_EPOCH="1700000000", HOME=str(tmp_path / "home"))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The source tree one-1.0, and one-1.0.tar.gz beside it."""
    tree = tmp_path / "one-1.0"
    make_wheel(tree, "one", "1.0", {"one/__init__.py": "x = 1\n"}, entry_points={"tool": "one:x"})
    backend_tree(tree, "one", "1.0", COPYING)
    with tarfile.open(tmp_path / "one-1.0.tar.gz", "w:gz") as archive:
        archive.add(tree, "one-1.0")
    return tree


def run(command: Sequence[str | Path], env: dict[str, str], cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], env=env, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def the_package_is_in(root: Path, installer: str, levels: int) -> None:
    """What each recipe is to bring, wherever the Python of the system has its packages."""
    (package,) = root.glob("usr/**/one/__init__.py")
    info = package.parent.parent / "one-1.0.dist-info"
    assert (info / "INSTALLER").read_text() == f"{installer}\n"
    assert len(list(package.parent.glob("__pycache__/*.pyc"))) == levels
    (script,) = root.glob("usr/**/bin/tool")
    assert script.stat().st_mode & 0o111
    program = "import sys; sys.path.insert(0, sys.argv[1]); import one; print(one.x)"
    command = [sys.executable, "-I", "-c", program, str(package.parent.parent)]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"1\n"


@pytest.mark.skipif(not IS_DEBIAN, reason="this is not Debian")
@pytest.mark.skipif(not shutil.which("dpkg-buildpackage"), reason="dpkg-buildpackage (dpkg-dev) is not installed")
@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_debian(checkout: Path, tree: Path, env: dict[str, str], tmp_path: Path) -> None:
    """Built by dpkg-buildpackage and installed by `dpkg --root`."""
    shutil.copytree(checkout / "docs/recipes/debian", tree / "debian")
    (tree / "debian/rules").chmod(0o755)
    run(["dpkg-buildpackage", "-b", "-us", "-uc", "-d"], env, tree)
    (package,) = tmp_path.glob("python3-one_1.0-1_all.deb")
    root = tmp_path / "root"
    for name in ("info", "updates", "triggers"):
        (root / "var/lib/dpkg" / name).mkdir(parents=True)
    for name in ("status", "available"):
        (root / "var/lib/dpkg" / name).touch()
    options = [f"--root={root}", "--force-not-root", "--force-depends", "--force-script-chrootless"]
    run(["dpkg", *options, "-i", package], env, tmp_path)
    assert (root / "usr/lib/python3/dist-packages/one/__init__.py").exists()
    the_package_is_in(root, "dpkg", levels=0)


@pytest.mark.skipif(not shutil.which("rpmbuild"), reason="rpmbuild (rpm) is not installed")
@pytest.mark.skipif(not shutil.which("bsdtar"), reason="bsdtar (libarchive), which unpacks an RPM, is not installed")
def test_rpm(checkout: Path, tree: Path, env: dict[str, str], tmp_path: Path) -> None:
    """Built by rpmbuild, and unpacked; where there is no Fedora, its macros are given the values of this system."""
    top = tmp_path / "rpm"
    (top / "SOURCES").mkdir(parents=True)
    shutil.copy(tmp_path / "one-1.0.tar.gz", top / "SOURCES")
    macros = {"_topdir": str(top), "_tmppath": str(tmp_path), "_prefix": "/usr", "_bindir": "/usr/bin"}
    if not os.path.exists("/etc/fedora-release"):
        library = f"/usr/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
        macros |= {"python_scheme": "posix_prefix", "python3_sitelib": library, "__python3": sys.executable}
    defined = [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
    run(["rpmbuild", "-bb", "--nodeps", *defined, checkout / "docs/recipes/one.spec"], env, tmp_path)
    (package,) = top.glob("RPMS/noarch/python3-one-1.0-1*.noarch.rpm")
    (tmp_path / "root").mkdir()
    run(["bsdtar", "-xf", package, "-C", tmp_path / "root"], env, tmp_path)
    the_package_is_in(tmp_path / "root", "rpm", levels=2)


@pytest.mark.skipif(not shutil.which("makepkg"), reason="makepkg (pacman) is not installed")
@pytest.mark.skipif(not shutil.which("bsdtar"), reason="bsdtar (libarchive), which makepkg calls, is not installed")
def test_arch(checkout: Path, tree: Path, env: dict[str, str], tmp_path: Path) -> None:
    """Built by makepkg, which root may not call; and unpacked."""
    work = tmp_path / "arch"
    work.mkdir()
    shutil.copy(checkout / "docs/recipes/PKGBUILD", work)
    shutil.copy(tmp_path / "one-1.0.tar.gz", work)
    text = (work / "PKGBUILD").read_text()
    digest = hashlib.sha256((work / "one-1.0.tar.gz").read_bytes()).hexdigest()
    assert "sha256sums=(SKIP)" in text
    interpreter = "/usr/bin/python"
    if not os.path.exists(interpreter):  # Debian has none of that name
        text = text.replace(f"--python {interpreter}", f"--python {sys.executable}")
    (work / "PKGBUILD").write_text(text.replace("SKIP", digest))
    somebody = ["unshare", "--user", "--map-user=1000", "--map-group=1000"] if os.geteuid() == 0 else []
    if somebody and subprocess.run([*somebody, "true"], capture_output=True).returncode:
        pytest.skip("makepkg refuses to run as root, and there are no user namespaces here")
    command = [*somebody, "makepkg", "--nodeps", "--noconfirm", "--skippgpcheck", "--noprogressbar"]
    run(command, {**env, "PKGDEST": str(work), "PACKAGER": "Nobody <nobody@example.org>", "PKGEXT": ".pkg.tar"}, work)
    (package,) = work.glob("python-one-1.0-1-any.pkg.tar")
    (tmp_path / "root").mkdir()
    run(["bsdtar", "-xf", package, "-C", tmp_path / "root"], env, tmp_path)
    the_package_is_in(tmp_path / "root", "pacman", levels=2)


@pytest.mark.skipif(not shutil.which("bash"), reason="bash, in which an ebuild is written, is not installed")
def test_gentoo(checkout: Path, tree: Path, env: dict[str, str], tmp_path: Path) -> None:
    """Portage is nowhere but on Gentoo: here bash calls the phases of the ebuild, with what Portage sets for them."""
    ebuild = checkout / "docs/recipes/one-1.0.ebuild"
    (tmp_path / "root").mkdir()
    pythons = (tmp_path / "eprefix/usr/bin", sys.executable)
    pythons[0].mkdir(parents=True)
    (pythons[0] / "python3.12").symlink_to(pythons[1])
    script = 'set -e; die() { echo "died" >&2; exit 1; }; source "$1"; src_compile; src_install'
    portage = {"PV": "1.0", "D": str(tmp_path / "root"), "EPREFIX": str(tmp_path / "eprefix")}
    run(["bash", "-c", script, "bash", ebuild], {**env, **portage}, tree)
    image = tmp_path / "root" / str(tmp_path / "eprefix")[1:]
    the_package_is_in(image, "portage", levels=3)
