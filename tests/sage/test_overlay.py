"""build/overlay, with a tree that has the lines it looks for; the genuine one is in `test_genuine`."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.run import names
from support.trees import make_prefix, site_packages, snapshot
from support.wheels import make_wheel

from .conftest import TOOL, Scripts

pytestmark = pytest.mark.once  # it is run by the system Python, whatever runs the tests
_FUNCTIONS = (
    *("sdh_build_wheel", "sdh_build_and_store_wheel", "sdh_pip_install", "sdh_pip_editable_install", "sdh_store_wheel"),
    *("sdh_store_and_pip_install_wheel", "sdh_actually_pip_install_wheel", "sdh_pip_uninstall"),
)
_STEPS = (
    *("setup_directories", "extract_the_package", "prepare_for_installation", "actually_build_and_install"),
    *("install_scripts", "post_install", "write_installation_record"),
)
_VARIABLES = (
    *("SAGE_INST_LOCAL", "SAGE_BUILD_DIR", "SAGE_SPKG_INST", "SAGE_SPKG_SCRIPTS", "SAGE_SPKG_WHEELS", "SAGE_DESTDIR"),
    *("SAGE_DESTDIR_LOCAL", "INSTALLED_SCRIPTS_DEST", "INSTALLED_SCRIPTS", "WRAPPED_SCRIPTS"),
    *("PKG_BASE", "PKG_NAME", "PKG_VER"),
)
COPY = (
    '    $SAGE_SUDO cp -Rp "$PREFIX/." "$SAGE_INST_LOCAL" || exit_with_error_msg "Error moving files for $PKG_NAME."\n'
)
COPY_OF_PASSAGEMATH = (
    '    (cd "$PREFIX" && tar cf - .) | $SAGE_SUDO tar xpf - -C "$SAGE_INST_LOCAL"'
    ' || exit_with_error_msg "Error moving files for $PKG_NAME."\n'
)
TAGS_OF_PASSAGEMATH = (
    """TAGS=$("$SAGE_INST_LOCAL"/bin/python3 -c "from packaging.tags import sys_tags; """
    """print(' '.join(f'{tag.interpreter}-{tag.abi}-{tag.platform}' for tag in sys_tags()))" 2>/dev/null)"""
)


def _tool(module: str, function: str = "run") -> str:
    return f"#!/usr/bin/env python3\nimport os, sys\nfrom sage_bootstrap.{module} import {function}\n{function}()\n"


def _module(name: str, definition: str = "def run():") -> str:
    return f"import sys\n{definition}\n    print({name!r}, sys.argv[1:], sys.flags.isolated)\n"


STOCK = {
    "VERSION.txt": "11.0.beta1\n",
    "build/bin/sage-bootstrap-python": '#!/bin/sh\nPYTHONS="python python3 python3.12"\nexec "$PYTHON" "$@"\n',
    "build/bin/sage-flock": _tool("flock"),
    "build/bin/sage-pip-install": "sage-flock -s $LOCK $PYTHON -m pip install\n",
    "build/bin/sage-pip-uninstall": "sage-flock -x $LOCK $PYTHON -m pip uninstall\n",
    "build/bin/sage-spkg-uninstall": _tool("uninstall"),
    "build/bin/sage-build-num-threads": (
        "#!/usr/bin/env python3\nimport sys\n\ndef number_of_cores():\n    return sys.flags.isolated\n\n"
        "def parse_jobs_from_MAKE(text):\n    return text.rpartition('-j')\n\n"
        "def num_threads():\n    return ('genuine', 'answer', number_of_cores())\n\nprint(*num_threads())\n"
    ),
    "build/bin/sage-package": _tool("cmdline"),
    "build/bin/sage-spkg-installcheck": _tool("installcheck"),
    "build/bin/sage-download-file": _tool("download.cmdline", "run_safe"),
    "build/bin/sage-uncompress-spkg": _tool("uncompress.cmdline"),
    "build/bin/sage-dist-helpers": (
        "set -o allexport\n# a comment\nsdh_die() {\n    exit 1\n}\n"
        + "".join(f'{name}() {{\n    stock {name} "$@"\n}}\n' for name in _FUNCTIONS)
        + "sdh_cmake() {\n    cmake\n}\nset +o allexport\n"
    ),
    "build/bin/sage-spkg": (
        "".join(f"export {name}=${{{name}}}\n" for name in _VARIABLES)
        + "".join(f"{name}() {{ ####\n    do_{name}\n}} #### {name}\n" for name in _STEPS)
        + "write_script_wrapper() {\n    cat >x <<__EOF__\n}\n# kept\n__EOF__\n}\nunload_destdir() {\n"
        + """    FILE_LIST="$(cd "$PREFIX" && find . -type f -o -type l | sed 's|^\\./||' | sort)"\n"""
        + COPY
        + "}\nrun_test_suite() {\n    true\n}\nunload_destdir\ninstall_scripts\nrun_test_suite\n"
    ),
    "build/bin/sage-logger": 'rm -f "$timefile"\n  rm -f "$timefile"\nmkdir -p "$logdir"\n',
    "src/bin/sage-env": """in=$(echo "${in}" | sed 's://*:/:g')\n""",
    "src/bin/sage": (
        '#!/usr/bin/env bash\nif [ "$1" = \'-pip\' -o "$1" = \'--pip\' -o "$1" = "--pip3" ]; then\n    shift\n'
        '    exec python3 -m pip --disable-pip-version-check "$@"\nfi\n'
        "build_sage() {\n     ninja -C $SAGE_ROOT/build/sage-distro || exit $?\n}\n"
    ),
    "src/doc/Makefile": "doc-html:\n\tmeson compile -C ../../build/sage-distro doc-html\n",
    "build/sage_bootstrap/__init__.py": "",
    "build/sage_bootstrap/download/__init__.py": "",
    "build/sage_bootstrap/uncompress/__init__.py": "",
    "build/sage_bootstrap/cmdline.py": _module("package"),
    "build/sage_bootstrap/installcheck.py": _module("installcheck", "def run(argv=None):"),
    "build/sage_bootstrap/download/cmdline.py": _module("download", "def run_safe():"),
    "build/sage_bootstrap/uncompress/cmdline.py": _module("uncompress"),
    "build/sage_bootstrap/app.py": (
        "props = ['path', 'version_with_patchlevel', 'type', 'source', 'trees', 'purl']  # of a package\n"
    ),
    "build/sage_bootstrap/package.py": "class Package(object):\n"
    + "".join(
        f"    def {name}(self):\n        self.it = open(self, '{name}')\n"
        for name in (
            *("source", "trees", "purl", "distribution_name", "path", "version_with_patchlevel"),
            *("_init_version", "_init_type", "_init_trees"),
        )
    ),
    "build/sage_bootstrap/flock.py": "def run(argv=None):\n    parser.add_argument('-s')\n",
    # the genuine one runs scripts and deletes the files of the record; this one tells what it was called with
    "build/sage_bootstrap/uninstall.py": (
        "import sys\ndef uninstall(spkg_name):\n    records('var', 'lib', 'sage', 'installed')\n"
        "def modern_uninstall(spkg_name):\n    'Old.'\n    scripts('var', 'lib')  # here\n"
        "def legacy_uninstall(spkg_name):\n    pass\ndef run_spkg_script(name):\n    pass\n"
        "def remove_stamp_files(files):\n    pass\ndef make_parser():\n    parser.add_argument('-k')\n"
        "def dir_type(path):\n    return path\ndef run(argv=None):\n    print('genuine', sys.argv[1:])\n"
    ),
}
SCRIPTS_IN_GIT = "build/bin src/bin src/doc/Makefile"
ONLY_CHEAPER = ("build/bin/sage-logger", "src/bin/sage-env")  # nothing of ours depends on them
SCRIPTS = [path for path in STOCK if path.startswith("build/bin/") and path not in ONLY_CHEAPER]


@pytest.fixture
def overlay(tmp_path: Path, checkout: Path) -> list[str]:
    """The command, from a checkout in which the tool was prepared from what is installed here."""
    copy = tmp_path / "checkout"
    shutil.copytree(checkout / "build", copy / "build", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(checkout / "pyproject.toml", copy)
    for name in TOOL:
        file = importlib.import_module(name).__file__
        assert file
        destination = copy / name if name == "sage_wheels" else copy / ".cache/tool-x" / name
        shutil.copytree(Path(file).parent, destination, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / ".cache/tool-x/sage_wheels").symlink_to(copy / "sage_wheels")
    python = subprocess.run(
        [copy / "build/bin/sage-bootstrap-python", "-c", "import sys; print(sys.executable)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (copy / ".cache/tool").write_text(f"python={python} tool=tool-x\n")
    command = [str(copy / "build/overlay")]
    learn(command, write_stock(tmp_path / "released"))
    return command


def learn(overlay: list[str], released: Path) -> None:
    """Let that checkout know the release in the tree `released`."""
    program = Path(overlay[0]).parent / "lib/interfaces.py"
    subprocess.run([sys.executable, "-I", "-B", program, "--learn", released], check=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_stock(tmp_path / "sage root")


def write_stock(root: Path) -> Path:
    for path, text in STOCK.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        os.utime(root / path, (1_600_000_000, 1_600_000_000))
    for script in (root / "build/bin").iterdir():
        script.chmod(0o755)
    (root / "build/bin/sage-dist-helpers").chmod(0o644)
    return root


def run(command: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def look(root: Path) -> dict[str, object]:
    """Every path with mode, time and content."""
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        status = path.lstat()
        mtime = 0 if path.is_dir() else status.st_mtime_ns
        text = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(root))] = stat.S_IMODE(status.st_mode), mtime, text
    return found


def test_it_goes_in_and_comes_out_byte_for_byte(overlay: list[str], root: Path) -> None:
    before = look(root)
    for _ in range(2):  # the second time it is brought up to date
        done = run(overlay, root)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    tool = Scripts(root)
    assert tool.run("sage-wheels", "--version", cwd=root).stdout.startswith("sage-wheels ")
    shutil.rmtree(Path(overlay[0]).parent.parent / "sage_wheels")  # nothing in the tree speaks of the checkout
    assert tool.run("sage-wheels", "list", "--help").returncode == 0
    script = "source build/bin/sage-dist-helpers; declare -f sdh_build_wheel sdh_die"
    functions = subprocess.run(["bash", "-c", script], cwd=root, capture_output=True, text=True, check=True).stdout
    assert [(root / path).read_text().count("fewer processes") for path in ONLY_CHEAPER] == [3, 1]
    assert "stock" not in functions
    assert "exit 1" in functions
    done = run(overlay, root, "--undo")
    assert done.returncode == 0, done.stderr
    assert look(root) == before
    assert run(overlay, root, "--undo").returncode == 0
    assert look(root) == before


@pytest.mark.parametrize("path", [*SCRIPTS, "src/bin/sage"])
def test_what_is_not_recognised_is_refused_whole(overlay: list[str], root: Path, path: str) -> None:
    optional = ("src/bin/sage", "build/bin/sage-bootstrap-python")
    for how in ("other",) if path in optional else ("missing", "other"):
        (root / path).unlink() if how == "missing" else (root / path).write_text("something else\n")
        before = look(root)
        done = run(overlay, root)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert str(root) in done.stderr
        assert path.rsplit("/", 1)[-1] in done.stderr
        assert look(root) == before


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("VERSION.txt", "11.0.beta1", "SageMath version 12.3, Release Date: 2030-01-01"),
        ("build/bin/sage-bootstrap-python", "python3.12", "python3.12 python3.15"),
        ("build/bin/sage-dist-helpers", "# a comment", "# another\n# comment"),
        ("build/bin/sage-dist-helpers", "    stock sdh_store_wheel", "\t  stock  sdh_store_wheel"),
        ("build/bin/sage-dist-helpers", "    cmake\n", "    cmake --verbose\n"),
        ("build/bin/sage-dist-helpers", "    exit 1\n", '    exit 1  # with a "comment"\n    echo >&2 "a message"\n'),
        ("build/bin/sage-spkg", "    true\n", "    false\n"),
        ("build/bin/sage-spkg", "\nrun_test_suite\n", "\n[ -z $CHECK ] || run_test_suite\n"),
        ("build/bin/sage-spkg", "    FILE_LIST", "        FILE_LIST"),
        ("build/bin/sage-spkg", COPY, COPY.replace("    ", "\t")),
        ("build/bin/sage-spkg", COPY, COPY.replace("Error moving files for", "Could not move the files of")),
        (
            "build/sage_bootstrap/uninstall.py",
            "    'Old.'\n    scripts('var', 'lib')  # here",
            "  scripts('var','lib')",
        ),
        ("build/sage_bootstrap/uninstall.py", "return path", "return str(path)"),
        ("src/bin/sage", "    exec python3", "        exec python3"),
        ("src/bin/sage", "     ninja -C $SAGE_ROOT/build/sage-distro || exit $?\n", ""),
        ("src/doc/Makefile", "meson compile -C ../../build/sage-distro doc-html", "sphinx-build"),
        ("build/bin/sage-logger", 'mkdir -p "$logdir"', 'install -d "$logdir"'),
        ("src/bin/sage-env", "sed 's://*:/:g'", "tr -s /"),
    ],
)
def test_what_does_not_matter_may_change(overlay: list[str], root: Path, path: str, old: str, new: str) -> None:
    change(root / path, old, new)
    before = look(root)
    done = run(overlay, root)
    assert done.returncode == 0, done.stderr
    assert "sage-move-tree" in (root / "build/bin/sage-spkg").read_text()
    assert run(overlay, root, "--undo").returncode == 0
    assert look(root) == before


@pytest.mark.parametrize(
    ("path", "old", "new", "what"),
    [
        ("build/bin/sage-dist-helpers", "sdh_pip_install() {", "sdh_wheel_install() {", "no function sdh_pip_install"),
        ("build/bin/sage-dist-helpers", 'stock sdh_store_wheel "$@"', "stock sdh_store_wheel", "sdh_store_wheel"),
        ("build/bin/sage-dist-helpers", "set -o allexport", "set -o posix\nset -o allexport", "'set -o posix'"),
        ("build/bin/sage-spkg", "SAGE_SPKG_WHEELS=${", "SAGE_SPKG_WHEELS=${X", "variable SAGE_SPKG_WHEELS"),
        ("build/bin/sage-spkg", "export PKG_VER=${PKG_VER}\n", "", "no variable PKG_VER"),
        ("build/bin/sage-spkg", "cp -Rp", "cp -Rpn", "cp -Rp"),
        ("build/bin/sage-spkg", "# kept\n", "", "write_script_wrapper"),
        (
            "build/bin/sage-spkg",
            "unload_destdir\ninstall_scripts\n",
            "install_scripts\nunload_destdir\n",
            "order of calls",
        ),
        ("build/bin/sage-dist-helpers", "    exit 1\n", '    echo "over" && exit 1\n    exit 1\n', "function sdh_die"),
        ("build/bin/sage-spkg-uninstall", "from sage_bootstrap.uninstall", "from sage_bootstrap.remove", "remove"),
        ("build/sage_bootstrap/uninstall.py", "'installed'", "'records'", "function uninstall"),
        ("build/sage_bootstrap/uninstall.py", "argument('-k')", "argument('-K')", "function make_parser"),
        ("build/sage_bootstrap/flock.py", "    parser.add_argument('-s')\n", "    pass\n", "function run"),
        ("build/sage_bootstrap/installcheck.py", "run(argv=None)", "main(argv=None)", "def run"),
        ("src/bin/sage", "exec python3", "exec python4", "exec python3"),
        (
            "src/bin/sage",
            "/build/sage-distro ||",
            "/build/other ||",
            "with 'ninja -C', 'ninja -C $SAGE_ROOT/build/other",
        ),
        ("src/doc/Makefile", "build/sage-distro doc-html", "build/sage-distro doc", "build/sage-distro doc'"),
        (
            "build/bin/sage-dist-helpers",
            '    stock sdh_store_wheel "$@"\n',
            '    case $1 in\n        -z)\n            ;;\n    esac\n    stock sdh_store_wheel "$@"\n',
            "function sdh_store_wheel, 'case $1 in'",
        ),
    ],
)
def test_what_matters_is_refused_by_its_name(
    overlay: list[str], root: Path, path: str, old: str, new: str, what: str
) -> None:
    change(root / path, old, new)
    before = look(root)
    done = run(overlay, root)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert path in done.stderr
    assert what in done.stderr
    assert look(root) == before


def test_a_script_that_is_gone_is_named(overlay: list[str], root: Path) -> None:
    (root / "build/bin/sage-flock").unlink()
    assert "build/bin/sage-flock is not there" in run(overlay, root).stderr


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_the_copying_line_of_passagemath(overlay: list[str], root: Path) -> None:
    released = root.parent / "released"
    for each in (root, released):
        change(each / "build/bin/sage-spkg", COPY, COPY_OF_PASSAGEMATH)
    learn(overlay, released)
    before = look(root)
    done = run(overlay, root)
    assert done.returncode == 0, done.stderr
    text = (root / "build/bin/sage-spkg").read_text()
    assert "sage-move-tree" in text
    assert "tar xpf" not in text
    assert run(overlay, root, "--undo").returncode == 0
    assert look(root) == before


def test_the_tags_of_passagemath(overlay: list[str], root: Path) -> None:
    """sage-spkg itself starts the prefix's Python for them; with the overlay, sage-package knows them."""
    script = root / "build/bin/sage-spkg"
    for each in (root, root.parent / "released"):
        path = each / "build/bin/sage-spkg"
        path.write_text(f"{path.read_text()}if true; then\n    {TAGS_OF_PASSAGEMATH}\nfi\n")
    before = look(root)
    assert run(overlay, root).returncode == 0
    text = script.read_text()
    lines = text[text.index("if true") :].replace("$SAGE_ROOT", str(root)) + 'echo "$TAGS"\n'
    python = root / "local/bin/python3"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\necho its own\n")
    python.chmod(0o755)
    command, environment = ["sh", "-c", lines], {**os.environ, "SAGE_INST_LOCAL": str(root / "local")}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert told == "of-the-prefix\n"
    (root / "build/bin/sage-package").write_text(STOCK["build/bin/sage-package"])  # as git does
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert told == "its own\n"
    assert run(overlay, root, "--undo").returncode == 0
    shutil.rmtree(root / "local")
    assert look(root) == before


def test_a_bootstrap_python_is_added_where_there_is_none(overlay: list[str], root: Path) -> None:
    """Sage since 10.9 has none."""
    (root / "build/bin/sage-bootstrap-python").unlink()
    before = look(root)
    for _ in range(2):
        done = run(overlay, root)
        assert done.returncode == 0, done.stderr
    scripts = Scripts(root)
    assert scripts.run("sage-bootstrap-python", "-c", "print(1)").stdout == "1\n"
    assert scripts.run("sage-spkg-uninstall", "--help").stdout == "genuine ['--help']\n"
    shutil.rmtree(root / "build/sage_bootstrap/__pycache__")
    assert run(overlay, root, "--undo").returncode == 0
    assert look(root) == before


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("sage-package", "package ['six', '--x'] 1\n"),
        ("sage-spkg-installcheck", "installcheck ['six', '--x'] 1\n"),
        ("sage-download-file", "download ['six', '--x'] 1\n"),
        ("sage-uncompress-spkg", "uncompress ['six', '--x'] 1\n"),
    ],
)
def test_a_tool_of_the_build_runs_without_the_python_of_the_prefix(
    overlay: list[str], root: Path, tmp_path: Path, script: str, said: str
) -> None:
    assert run(overlay, root).returncode == 0
    broken = tmp_path / "venv/bin/python3"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\nexit 66\n")
    broken.chmod(0o755)
    (tmp_path / "venv/pyvenv.cfg").touch()
    environment = {"PATH": f"{broken.parent}:{os.environ['PATH']}", "PYTHONPATH": str(tmp_path), "PYTHONHOME": "/x"}
    done = Scripts(root).run(script, "six", "--x", env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


def test_a_shell_takes_the_commands_that_are_advised(overlay: list[str], root: Path) -> None:
    """The tree has a blank in its name."""
    said = [run(overlay, root, "--status").stdout, run(overlay, root).stderr]
    (root / "build/bin/sage-pip").unlink()
    said.append(run(overlay, root, "--status").stdout.splitlines()[-1])
    commands = [shlex.split(part.rpartition(": ")[2]) for each in said for part in each.split("; ")[1:]]
    script, tree = overlay[0], str(root)
    assert commands == [[script, tree], [script, tree, "--undo"], [script, tree], [script, tree, "--undo"]]


def test_the_status_of_each_file(overlay: list[str], root: Path) -> None:
    assert "is not in" in run(overlay, root, "--status").stdout
    assert run(overlay, root).returncode == 0
    said = run(overlay, root, "--status").stdout.splitlines()
    assert {line.split()[0] for line in said[:-1]} == {"ours"}
    flock, spkg = root / "build/bin/sage-flock", root / "build/bin/sage-spkg"
    flock.write_text(STOCK["build/bin/sage-flock"])
    spkg.write_text(spkg.read_text() + "# mine\n")
    (root / "build/bin/sage-pip").unlink()
    said = run(overlay, root, "--status").stdout.splitlines()
    kinds = {line.split()[1]: line.split()[0] for line in said[:-1]}
    assert kinds["build/bin/sage-flock"] == "genuine"
    assert kinds["build/bin/sage-spkg"] == "edited"
    assert kinds["build/bin/sage-pip"] == "missing"
    assert "in part; save what was edited" in said[-1]
    assert "--undo" in said[-1]


def test_what_builds_sagelib_by_itself_takes_the_lock_of_its_build_directory(
    overlay: list[str], root: Path, tmp_path: Path
) -> None:
    """`sage -b` and the documentation, once the functions for package scripts have made a ninja that does."""
    assert run(overlay, root).returncode == 0
    log = tmp_path / "log"
    for program in ("bin/ninja", "bin/meson", "venv/var/lib/sage-wheels/ninja"):
        (tmp_path / program).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / program).write_text(f'#!/bin/sh\necho {program} "$@" "${{NINJA-}}" >>"{log}"\n')
        (tmp_path / program).chmod(0o755)
    ours = tmp_path / "venv/var/lib/sage-wheels/ninja"
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    script = f'source "{root}/src/bin/sage"; build_sage; make -s -C "{root}/src/doc" doc-html'
    for venv in (tmp_path / "venv", tmp_path / "none"):
        environment = {**os.environ, "PATH": path, "SAGE_ROOT": "/sage", "SAGE_VENV": str(venv)}
        environment.pop("NINJA", None)
        subprocess.run(["bash", "-c", script], env=environment, check=True, cwd=root)
    build, document = "-C /sage/build/sage-distro", "compile -C ../../build/sage-distro doc-html"
    assert log.read_text().splitlines() == [
        f"venv/var/lib/sage-wheels/ninja {build} ",
        f"bin/meson {document} {ours}",
        f"bin/ninja {build} ",
        f"bin/meson {document} ninja",
    ]


def git(root: Path | str, *arguments: str) -> str:
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@y", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(root: Path) -> Path:
    """A git repository with two releases: `old`, and `main`, where scripts are other ones and one is gone."""
    (root / ".gitignore").write_text("__pycache__/\n")
    (root / "src/sage").mkdir()
    (root / "src/sage/all.py").write_text("mine = 1\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "old")
    git(root, "branch", "old")
    change(root / "build/bin/sage-dist-helpers", "# a comment", "# of another release")
    change(root / "build/bin/sage-flock", "import os, sys\n", "import os, sys  # other\n")
    (root / "build/bin/sage-bootstrap-python").unlink()
    git(root, "commit", "-q", "-a", "-m", "main")
    return root


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("first", ["main", "old"])
@pytest.mark.parametrize(
    "commands",
    [
        ["stash"],
        ["stash -u"],
        ["checkout -f other"],
        ["stash", "checkout -f other"],
        ["checkout build/bin/sage-spkg"],
        ["checkout build src"],
        ["reset -q --hard other"],
    ],
    ids=" and ".join,
)
def test_git_changes_the_scripts_of_an_overlaid_tree(
    overlay: list[str], repository: Path, commands: list[str], first: str, again: bool
) -> None:
    """What git has put there is the genuine script, of whatever release; nothing of it is lost or mixed."""
    git(repository, "checkout", "-q", first)
    assert run(overlay, repository).returncode == 0
    for command in commands:
        git(repository, *command.replace("other", "old" if first == "main" else "main").split())
    if again:
        done = run(overlay, repository)
        assert done.returncode == 0, done.stderr
        assert "in part" not in run(overlay, repository, "--status").stdout
    done = run(overlay, repository, "--undo")
    assert done.returncode == 0, done.stderr
    assert git(repository, "status", "--porcelain") == ""


def test_the_functions_go_with_the_sage_spkg_that_is_there(overlay: list[str], root: Path) -> None:
    """`git checkout` of sage-spkg alone: the genuine functions stay, for ours need our lines in it."""
    shell = ["bash", "-c", "source build/bin/sage-dist-helpers; declare -f sdh_store_wheel"]
    assert run(overlay, root).returncode == 0
    assert "stock" not in subprocess.run(shell, cwd=root, capture_output=True, text=True, check=True).stdout
    (root / "build/bin/sage-spkg").write_text(STOCK["build/bin/sage-spkg"])
    assert "stock" in subprocess.run(shell, cwd=root, capture_output=True, text=True, check=True).stdout


def test_git_clean_leaves_one_sentence_that_names_the_command(overlay: list[str], repository: Path) -> None:
    git(repository, "checkout", "-q", "main")
    assert run(overlay, repository).returncode == 0
    git(repository, "clean", "-q", "-x", "-f", "-d")
    for script in ("sage-flock", "sage-pip-install", "sage-package", "sage-spkg-uninstall"):
        done = Scripts(repository).run(script, "x")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"{script}: " in done.stderr
        assert done.stderr.endswith(f": git checkout {SCRIPTS_IN_GIT}\n")
    edited = repository / "src/sage/all.py"
    change(edited, "mine", "mine, and not committed")  # what is advised must not undo that
    before = look(repository)
    for options, status in ((["--status"], 0), (["--undo"], 1), ([], 1)):
        done = run(overlay, repository, *options)
        assert (done.returncode, (done.stdout + done.stderr).count("\n")) == (status, 1)
        said = done.stdout + done.stderr
        assert "put the genuine scripts back from the archive of that release, or run: git" in said
    assert look(repository) == before
    subprocess.run(shlex.split(said.rpartition(": ")[2]), check=True)
    assert git(repository, "status", "--porcelain") == " M src/sage/all.py\n"
    assert "not committed" in edited.read_text()
    assert run(overlay, repository).returncode == 0


def test_without_one_file_of_ours_each_script_works_or_says_what_to_run(
    overlay: list[str], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file that was added, and the directory of the tool, is missing alone."""
    assert run(overlay, root).returncode == 0
    prefix = make_prefix(tmp_path, "venv")
    monkeypatch.setenv("SAGE_VENV", str(prefix))
    commands = {
        name: [str(root / "build/bin" / name), *arguments]
        for name, arguments in {
            "sage-wheels": ["--version"],
            "sage-pip": ["--version"],
            "sage-pip-install": ["--help"],
            "sage-pip-uninstall": ["--help"],
            "sage-spkg-uninstall": ["-k", "some", str(prefix)],
            "sage-flock": ["-x", str(tmp_path / "lock"), "true"],
            "sage-package": ["list"],
        }.items()
    }
    moved = "Error moving files for .\n"  # Sage's own sentence, which follows
    moving = [line for line in (root / "build/bin/sage-spkg").read_text().splitlines() if "move-tree" in line]
    program = "\n".join(["exit_with_error_msg() { echo $1 >&2; exit 1; }", "PREFIX=$1", *moving])
    variables = [f"SAGE_ROOT={root}", f"SAGE_INST_LOCAL={prefix}"]
    commands["sage-spkg"] = ["env", *variables, "bash", "-c", program, "sage-spkg", str(tmp_path / "staged")]
    commands["sage-dist-helpers"] = ["bash", "-c", 'source "$0"', str(root / "build/bin/sage-dist-helpers")]

    def say() -> dict[str, tuple[int, str]]:
        """The status of each command, and what it says if it fails."""
        (tmp_path / "staged").mkdir(exist_ok=True)
        (tmp_path / "staged/file").touch()
        done = {name: run(command) for name, command in commands.items() if shutil.which(command[0])}
        return {name: (each.returncode, each.stderr if each.returncode else "") for name, each in done.items()}

    whole = say()
    assert {status for status, _ in whole.values()} == {0}, whole
    told = set()
    for path in ["build/sage-wheels", *json.loads((root / "build/sage-wheels/overlay.json").read_text())["added"]]:
        (root / path).rename(tmp_path / "aside")
        for name, (status, said) in say().items():
            assert status == 0 or (said.removesuffix(moved).count("\n") == 1 and "its build/overlay " in said), (
                path,
                name,
                said,
            )
            told |= {path} if status else set()
        (tmp_path / "aside").rename(root / path)
    assert told == {"build/sage-wheels", *(f"build/bin/{each}" for each in ("sage-wheels", "sage-move-tree"))} | {
        f"build/lib/{each}" for each in ("system-python.sh", "flock.py", "bootstrap_tool.py")
    }
    assert say() == whole


def test_git_ignores_what_was_added(overlay: list[str], repository: Path) -> None:
    """So neither `git clean -fd` nor `git stash -u` nor `git add` takes it."""
    git(repository, "checkout", "-q", "main")
    assert run(overlay, repository).returncode == 0
    assert "??" not in git(repository, "status", "--porcelain", "--untracked-files=all")
    git(repository, "clean", "-q", "-f", "-d")
    assert "in part" not in run(overlay, repository, "--status").stdout
    git(repository, "stash", "-u")
    git(repository, "stash", "pop")
    assert "in part" not in run(overlay, repository, "--status").stdout
    assert run(overlay, repository, "--undo").returncode == 0
    assert git(repository, "status", "--porcelain", "--ignored") == ""


def test_after_stash_git_switches_to_a_release_that_has_what_was_added(overlay: list[str], repository: Path) -> None:
    git(repository, "checkout", "-q", "main")
    assert run(overlay, repository).returncode == 0
    assert (repository / "build/bin/sage-bootstrap-python").exists()
    git(repository, "stash")
    git(repository, "checkout", "-q", "old")
    assert git(repository, "status", "--porcelain") == ""
    assert run(overlay, repository).returncode == 0
    assert run(overlay, repository, "--undo").returncode == 0
    assert git(repository, "status", "--porcelain", "--ignored") == ""


@pytest.mark.parametrize("text", ["*.orig\n", ""])
def test_a_gitignore_of_the_release_stays(overlay: list[str], repository: Path, text: str) -> None:
    (repository / "build/bin/.gitignore").write_text(text)
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "ignore")
    assert run(overlay, repository).returncode == 0
    assert (repository / "build/bin/.gitignore").read_text() == text
    assert run(overlay, repository, "--undo").returncode == 0
    assert git(repository, "status", "--porcelain", "--ignored") == ""


@pytest.mark.parametrize("path", ["build/bin/sage-spkg", "build/bin/sage-flock", "build/sage_bootstrap/flock.py"])
def test_a_conflict_of_git_is_named(overlay: list[str], root: Path, path: str) -> None:
    text = (root / path).read_text()
    (root / path).write_text(f"<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> other\n")
    before = look(root)
    done = run(overlay, root)
    assert done.returncode == 1
    assert done.stderr == f"overlay: git has left a conflict in {root / path}; resolve it, and run this again\n"
    assert look(root) == before


@pytest.mark.parametrize("options", [[], ["--undo"]])
def test_what_is_ours_leaves_the_index_of_git(overlay: list[str], repository: Path, options: list[str]) -> None:
    """`git add -f` and `git add -u` put it there. What the developer has staged stays."""
    git(repository, "checkout", "-q", "main")
    own = repository / "build/bin/sage-bootstrap-python"
    assert run(overlay, repository).returncode == 0
    change(repository / "src/sage/all.py", "mine", "mine, too")
    git(repository, "add", "-u")
    git(repository, "add", "-f", "build/bin/sage-pip", str(own))
    assert run(overlay, repository, *options).returncode == 0
    assert git(repository, "diff", "--cached", "--name-only") == "src/sage/all.py\n"
    assert ("build/bin/sage-flock" in git(repository, "diff", "--name-only")) == (not options)


def test_the_scripts_that_git_does_not_know_are_not_in_the_way(overlay: list[str], repository: Path) -> None:
    """`git clean -X`, or a user who deletes build/sage-wheels, leaves them."""
    assert run(overlay, repository).returncode == 0
    shutil.rmtree(repository / "build/sage-wheels")
    git(repository, "checkout", *SCRIPTS_IN_GIT.split())
    done = run(overlay, repository)
    assert done.returncode == 0, done.stderr
    assert run(overlay, repository, "--undo").returncode == 0
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.parametrize("again", [False, True])
def test_git_merges_our_lines_into_another_release(overlay: list[str], repository: Path, again: bool) -> None:
    """As `git pull --rebase --autostash` does."""
    git(repository, "checkout", "-q", "-b", "next")
    change(repository / "build/bin/sage-dist-helpers", "# of another release", "# of a third one")
    change(repository / "src/bin/sage", "#!/usr/bin/env bash\n", "#!/usr/bin/env bash\n# of a third one\n")
    git(repository, "commit", "-q", "-a", "-m", "next")
    git(repository, "checkout", "-q", "main")
    assert run(overlay, repository).returncode == 0
    for command in ("stash", "checkout next", "stash pop"):
        git(repository, *command.split())
    said = run(overlay, repository, "--status").stdout
    kinds = {line.split()[1]: line.split()[0] for line in said.splitlines()[:-1]}
    assert {kinds["build/bin/sage-dist-helpers"], kinds["src/bin/sage"]} == {"merged"}
    if again:
        done = run(overlay, repository)
        assert done.returncode == 0, done.stderr
        assert "in part" not in run(overlay, repository, "--status").stdout
        assert "# of a third one" in (repository / "src/bin/sage").read_text()
    assert run(overlay, repository, "--undo").returncode == 0
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.parametrize(("first", "second"), [("main", "old"), ("old", "main")])
def test_after_a_conflict_the_advice_leads_out(overlay: list[str], repository: Path, first: str, second: str) -> None:
    """`git stash pop` leaves a conflict in each script that is ours, and another one or none in the other release."""
    git(repository, "checkout", "-q", first)
    assert run(overlay, repository).returncode == 0
    git(repository, "stash")
    git(repository, "checkout", "-q", "-f", second)
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "stash", "pop")
    for options in ([], ["--undo"]):
        done = run(overlay, repository, *options)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"{repository}/build/bin/sage-flock was changed" in done.stderr
    subprocess.run(shlex.split(done.stderr.rpartition(": ")[2]), check=True)
    for options in ([], ["--undo"]):
        done = run(overlay, repository, *options)
        assert done.returncode == 0, done.stderr
        assert git(repository, "diff", "--cached", "--name-only") == ""
        assert git(repository, "ls-files", "--unmerged") == ""
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.parametrize("options", [["--undo"], [], ["--status"]])
def test_a_script_that_the_checked_out_release_does_not_have_goes(
    overlay: list[str], repository: Path, options: list[str]
) -> None:
    """`git reset` without --hard leaves ours. What git has nowhere is never lost."""
    git(repository, "checkout", "-q", "old")
    assert run(overlay, repository).returncode == 0
    git(repository, "reset", "-q", "main")
    git(repository, "checkout", "main", "--", *SCRIPTS_IN_GIT.split())
    done = run(overlay, repository, *options)
    assert done.returncode == 0, done.stderr
    assert run(overlay, repository, "--undo").returncode == 0
    assert git(repository, "status", "--porcelain") == ""


def test_a_script_that_git_does_not_know_comes_back(overlay: list[str], repository: Path) -> None:
    """Somebody put it there, and not into git."""
    git(repository, "checkout", "-q", "main")
    own = repository / "build/bin/sage-bootstrap-python"
    own.write_text(STOCK["build/bin/sage-bootstrap-python"] + "# mine\n")
    before = look(repository)
    for _ in range(2):
        done = run(overlay, repository)
        assert done.returncode == 0, done.stderr
    assert run(overlay, repository, "--undo").returncode == 0
    assert look(repository) == before


def test_a_script_of_another_release_does_not_come_back(overlay: list[str], repository: Path) -> None:
    """Somebody edited the script after a checkout, and deleted it."""
    assert run(overlay, repository).returncode == 0
    git(repository, "checkout", "-q", "-f", "old")
    flock = repository / "build/bin/sage-flock"
    flock.unlink()
    for options in ([], ["--undo"]):
        done = run(overlay, repository, *options)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert f"{flock} is gone, and what was kept of it is of another release; run: git" in done.stderr
    subprocess.run(shlex.split(done.stderr.rpartition(": ")[2]), check=True)
    assert run(overlay, repository, "--undo").returncode == 0
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_root_reads_the_repository_of_another_user_as_that_user(overlay: list[str], repository: Path) -> None:
    """As in a container; git itself would refuse to read it."""
    assert run(overlay, repository).returncode == 0
    git(repository, "checkout", "-q", "-f", "old")
    with tempfile.TemporaryDirectory() as name:  # that user may enter this one
        os.chmod(name, 0o755)
        theirs = shutil.move(repository, name)
        subprocess.run(["chown", "-R", "12345:12345", theirs], check=True)
        done = run(overlay, theirs, "--undo")
        assert done.returncode == 0, done.stderr
        assert git(theirs, "-c", "safe.directory=*", "status", "--porcelain") == ""


def test_a_user_who_may_not_take_it_out_is_told_who_may(overlay: list[str], root: Path) -> None:
    """Root has put it into the tree of another user, who may not even move what root has kept."""
    system = "/usr/bin/python3"
    if os.geteuid() or not shutil.which("setpriv") or not os.access(system, os.X_OK):
        pytest.skip("only root can try another user, with setpriv and a Python of the system")
    assert run(overlay, root).returncode == 0
    with tempfile.TemporaryDirectory() as name:  # others may enter this one
        os.chmod(name, 0o755)
        theirs = Path(shutil.move(root, name))
        program = Path(shutil.copytree(Path(overlay[0]).parent / "lib", Path(name) / "lib")) / "overlay.py"
        for directory in (theirs, *(theirs / each for each in ("build", "build/bin", "src/bin"))):
            os.chown(directory, 65534, 65534)
        before = look(theirs)
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        done = run([*user, system, "-I", "-B", str(program)], name, theirs, "--undo")
        kept = f"{theirs}/build/sage-wheels/genuine/build/bin"
        assert done.stderr.endswith(
            f" (Permission denied); become the user with the number 0, who owns {kept}, and run it again\n"
        )
        assert look(theirs) == before


def test_a_repository_that_git_does_not_read_is_named(overlay: list[str], repository: Path, tmp_path: Path) -> None:
    assert run(overlay, repository).returncode == 0
    git(repository, "checkout", "-q", "-f", "old")
    real = shutil.which("git")
    refusing = tmp_path / "bin/git"
    refusing.parent.mkdir()
    refusing.write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {real} "$@"\n')
    refusing.chmod(0o755)
    before = look(repository)
    done = run(["env", f"PATH={refusing.parent}:{os.environ['PATH']}", *overlay], repository, "--undo")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"git does not read {repository}, which belongs to another user; " in done.stderr
    assert look(repository) == before


def test_a_directory_that_is_not_there_is_named(overlay: list[str], tmp_path: Path) -> None:
    for options in ([], ["--undo"], ["--status"]):
        done = run(overlay, tmp_path / "none", *options)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"overlay: {tmp_path}/none is no directory; name the root of a Sage tree\n"


@pytest.mark.parametrize("options", [["--status"], ["--undo"], []])
def test_a_checkout_of_ours_is_no_sage_tree(overlay: list[str], options: list[str]) -> None:
    checkout = Path(overlay[0]).parents[1]
    before = look(checkout / "build/bin")
    done = run(overlay, checkout, *options)
    said = f"overlay: {checkout} is a checkout of sage-wheels; name the root of a Sage tree\n"
    assert (done.returncode, done.stderr) == (1, said)
    assert look(checkout / "build/bin") == before


@pytest.mark.parametrize("path", ["build/bin/sage-wheels", "build/lib"])
def test_a_file_that_is_in_the_way_is_refused(overlay: list[str], root: Path, path: str) -> None:
    (root / path).write_text("mine\n")
    before = look(root)
    assert run(overlay, root).returncode == 1
    assert look(root) == before


def test_what_was_edited_since_is_not_lost(overlay: list[str], root: Path) -> None:
    assert run(overlay, root).returncode == 0
    spkg = root / "build/bin/sage-spkg"
    ours = spkg.read_text()
    spkg.write_text(ours + "# mine\n")
    done = run(overlay, root, "--undo")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.endswith(
        f"{spkg} was changed since sage-wheels was put there; save your changes, then delete it\n"
    )
    spkg.write_text(ours)
    assert run(overlay, root, "--undo").returncode == 0


def test_a_list_that_is_damaged_is_told_in_a_sentence(overlay: list[str], root: Path) -> None:
    assert run(overlay, root).returncode == 0
    (root / "build/sage-wheels/overlay.json").write_text("{")
    before = look(root)
    for options in (["--status"], ["--undo"], []):
        done = run(overlay, root, *options)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert f"move the files in {root}/build/sage-wheels/genuine back to their paths" in done.stderr
    assert look(root) == before


def test_what_git_has_put_back_is_no_edit(overlay: list[str], root: Path) -> None:
    before = look(root)
    for options in (["--undo"], [], ["--undo"]):
        assert run(overlay, root).returncode == 0
        for path in ("build/bin/sage-flock", "build/bin/sage-spkg"):
            (root / path).write_text(STOCK[path])
        done = run(overlay, root, *options)
        assert done.returncode == 0, done.stderr
    assert look(root) == before


def test_an_interrupt_takes_it_back_without_a_traceback(overlay: list[str], root: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    before = look(root)
    assert run(overlay, root).returncode == 0  # and the tool is ready
    assert run(overlay, root, "--undo").returncode == 0
    inject = ["-e", "trace=linkat", "-e", "inject=linkat:signal=INT:when=3"]
    done = run(["strace", "-f", "-qq", "-o", "/dev/null", *inject, *overlay], root)
    assert (done.returncode, done.stderr) == (130, "")
    assert look(root) == before


def test_what_the_system_refuses_is_told_in_a_sentence(overlay: list[str], root: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    before = look(root)
    inject = ["-e", "trace=linkat", "-e", "inject=linkat:error=EACCES:when=3"]
    done = run(["strace", "-f", "-qq", "-o", "/dev/null", *inject, *overlay], root)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "build/bin/sage-pip-install cannot be read or changed (Permission denied); " in done.stderr
    assert look(root) == before


@pytest.mark.parametrize("where", ["", "moved"])
def test_a_genuine_script_that_is_a_symbolic_link_comes_back(overlay: list[str], root: Path, where: str) -> None:
    """Also if what it leads to is no longer there."""
    flock, elsewhere = root / "build/bin/sage-flock", root / "build/elsewhere"
    flock.rename(elsewhere)
    flock.symlink_to("../elsewhere")
    before = os.readlink(flock)
    for _ in range(2):
        done = run(overlay, root)
        assert done.returncode == 0, done.stderr
    assert not flock.is_symlink()
    if where:
        elsewhere.rename(root / where)
    assert run(overlay, root, "--undo").returncode == 0
    assert os.readlink(flock) == before


def test_a_tree_that_is_refused_the_second_time_stays_as_it_is(overlay: list[str], root: Path) -> None:
    assert run(overlay, root).returncode == 0
    change(root / "build/sage_bootstrap/uninstall.py", "def uninstall(", "def remove(")
    before = look(root)
    done = run(overlay, root)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "build/sage_bootstrap/uninstall.py" in done.stderr
    assert look(root) == before


def test_every_user_may_read_what_is_put_there(overlay: list[str], root: Path) -> None:
    subprocess.run(["sh", "-c", 'umask 077; exec "$@"', "sh", *overlay, root], check=True, capture_output=True)
    made = [root / "build/lib", *(root / "build/lib").iterdir(), *(root / "build/sage-wheels").rglob("*")]
    assert [path for path in made if not path.is_symlink() and not path.stat().st_mode & stat.S_IROTH] == []


def test_one_that_was_interrupted_is_taken_back(overlay: list[str], root: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    before = look(root)
    run(overlay, root)
    run(overlay, root, "--undo")
    trace = ["strace", "-f", "-qq", "-o", str(root.parent / "trace"), "-e", "trace=rename,linkat"]
    assert run([*trace, *overlay], root).returncode == 0
    calls = (root.parent / "trace").read_text()
    renames, links = calls.count(" rename("), calls.count(" linkat(")
    run(overlay, root, "--undo")
    # Most renames are of byte-code; the last ones are of the scripts, after a link of each that is replaced.
    places = [("rename", number) for number in (1, 2, *range(renames - 12, renames + 1, 4))]
    for call, number in [*places, ("linkat", 1), ("linkat", links)]:
        inject = ["-e", f"inject={call}:signal=KILL:when={number}"]
        done = run([*trace, *inject, *overlay], root)
        assert done.returncode != 0
        assert run(overlay, root, "--undo").returncode == 0
        assert look(root) == before


def test_a_package_from_the_days_of_destdir_is_removed_as_what_it_is(
    overlay: list[str], root: Path, tmp_path: Path
) -> None:
    """Its record lists every file of the distribution, but not the byte-code that came later."""
    assert run(overlay, root).returncode == 0
    scripts = Scripts(root)
    tree = make_prefix(tmp_path, "tree")
    before = {path: entry for path, entry in snapshot(tree).items() if not path.startswith("var")}
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg/__init__.py": "", "pkg/sub/mod.py": ""})
    stamp = tree / "var/lib/sage/installed/pkg-1.0"
    for upgrade in (True, False):
        assert scripts.run("sage-pip-install", "--no-compile", "--prefix", tree, wheel).returncode == 0
        library = site_packages(tree)
        listed = [str(path.relative_to(tree)) for path in library.rglob("*") if path.is_file()] + ["share/doc/pkg"]
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(json.dumps({"package_name": "pkg", "files": listed}))
        subprocess.run([sys.executable, "-m", "compileall", "-q", library], check=True)
        env = {"SAGE_DESTDIR": "/x"} if upgrade else {}
        done = scripts.run("sage-spkg-uninstall", "pkg", tree, env=env)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"genuine ['pkg', '{tree}']\n"
        assert json.loads(stamp.read_text())["files"] == ["share/doc/pkg"]
        if upgrade:  # it stays until the new version, which asks for this, takes its place
            assert names(tree) == ["pkg 1.0"]
            assert (tree / "var/lib/sage-wheels/superseded/pkg").read_text() == "pkg\n"
            stamp.unlink()  # as the genuine script does; the build fails, and the package is cleaned
            assert scripts.run("sage-spkg-uninstall", "pkg", tree).returncode == 0
        assert {path: entry for path, entry in snapshot(tree).items() if not path.startswith("var")} == before
        assert not list(tree.glob("var/lib/sage-wheels/superseded/*"))


def test_sage_pip_is_ours_and_keeps_what_belongs_to_the_distribution(
    overlay: list[str], root: Path, tmp_path: Path
) -> None:
    prefix = make_prefix(tmp_path / "venv")
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg.py": ""})
    record = prefix / "var/lib/sage/scripts/pkg/spkg-requirements.txt"
    record.parent.mkdir(parents=True)
    record.write_text(f"pkg @ file://{wheel}\n")
    record.with_name("spkg-piprm").touch()
    assert run(overlay, root).returncode == 0
    run([str(root / "build/bin/sage-wheels")], "install", "--prefix", prefix, wheel)
    before = snapshot(prefix)
    environ = {**os.environ, "SAGE_ROOT": str(root), "SAGE_VENV": str(prefix)}
    sage = ["bash", str(root / "src/bin/sage"), "--pip"]
    done = subprocess.run([*sage, "uninstall", "-y", "pkg"], env=environ, capture_output=True, text=True)
    assert done.returncode == 1
    assert "belongs to package pkg and is kept; give --replace-packages" in done.stderr
    assert snapshot(prefix) == before
    replacing = [*sage, "--isolated", "uninstall", "-y", "pkg", "--replace-packages"]
    done = subprocess.run(replacing, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "  Successfully uninstalled pkg-1.0" in done.stdout
    assert not (site_packages(prefix) / "pkg.py").exists()


def test_other_packages_go_the_genuine_way(overlay: list[str], root: Path, tmp_path: Path) -> None:
    assert run(overlay, root).returncode == 0
    scripts = Scripts(root)
    (tmp_path / "local/var/lib/sage/installed").mkdir(parents=True)
    (tmp_path / "local/var/lib/sage/installed/zlib-1.3").write_text('{"files": ["lib/libz.so"]}')
    done = scripts.run("sage-spkg-uninstall", "--verbose", "zlib", tmp_path / "local")
    assert (done.returncode, done.stdout) == (0, f"genuine ['--verbose', 'zlib', '{tmp_path}/local']\n")
    assert scripts.run("sage-spkg-uninstall", "--help").stdout == "genuine ['--help']\n"
