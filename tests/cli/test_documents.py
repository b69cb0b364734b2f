"""What is made from the parsers: completion, manual pages, and the make rules that come with `pip install`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sage_wheels.cli import COMMANDS
from support.run import tool


def completed(checkout: Path, *words: str) -> list[str]:
    """What bash completes the last of `words` to."""
    script = checkout / "data/share/bash-completion/completions/sage-wheels"
    program = f"source {script}; COMP_WORDS=({' '.join(words) or '-'}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n"
    program += "$(complete -p sage-wheels | sed 's/.*-F \\([^ ]*\\).*/\\1/'); printf '%s\\n' \"${COMPREPLY[@]}\""
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    return sorted(done.stdout.split())


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes_commands_and_options(checkout: Path) -> None:
    assert completed(checkout, "sage-wheels", "inst") == ["install"]
    assert set(completed(checkout, "sage-wheels", "''")) >= set(COMMANDS)
    assert "--on-conflict" in completed(checkout, "sage-wheels", "install", "--on")
    assert completed(checkout, "sage-wheels", "install", "--on-conflict", "o") == ["overwrite"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_what_is_installed(checkout: Path, shell: str) -> None:
    text = tool("completion", shell).stdout
    assert "install" in text
    (installed,) = [
        each
        for each in (checkout / "data/share").rglob("*sage-wheels*")
        if shell in str(each.relative_to(checkout)) and each.is_file() and "man1" not in str(each)
    ]
    assert installed.read_text() == text


@pytest.mark.skipif(not shutil.which("man"), reason="man is not installed")
def test_each_manual_page_is_read_by_man(checkout: Path) -> None:
    pages = checkout / "data/share/man/man1"
    assert {each.stem for each in pages.iterdir()} == {"sage-wheels", *(f"sage-wheels-{name}" for name in COMMANDS)}
    for name in ("install", "list"):
        command = ["man", "--warnings", "-l", str(pages / f"sage-wheels-{name}.1")]
        done = subprocess.run(
            command, capture_output=True, text=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"}
        )
        assert (done.returncode, done.stderr) == (0, "")
        shown = " ".join(done.stdout.split())
        assert COMMANDS[name] in shown
        assert "EXAMPLES" in shown
        assert ".venv here or above" in shown


def test_the_make_rules_are_found(checkout: Path) -> None:
    path = Path(tool("make-rules").stdout.strip())
    assert path.name == "python-packages.mk"
    copies = checkout / "data/share/sage-wheels/make"
    for each in (checkout / "build/make").iterdir():
        assert (copies / each.name).read_bytes() == each.read_bytes()


@pytest.mark.network
@pytest.mark.slow
def test_pip_install_brings_all_of_it(checkout: Path, tmp_path: Path, index_environment: dict[str, str]) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    run = tmp_path / "venv/bin"
    subprocess.run([str(run / "pip"), "install", "-q", str(checkout)], check=True, env=index_environment)
    share = tmp_path / "venv/share"
    assert (share / "man/man1/sage-wheels-install.1").exists()
    where = subprocess.run([str(run / "sage-wheels"), "make-rules"], capture_output=True, text=True, check=True)
    assert where.stdout == f"{share}/sage-wheels/make/python-packages.mk\n"
    assert (share / "sage-wheels/make/package").stat().st_mode & 0o111
    helped = subprocess.run([str(run / "sage-move-tree"), "--help"], capture_output=True, text=True, check=True)
    assert helped.stdout.startswith("usage: sage-move-tree")
    locked = [str(run / "sage-flock"), str(tmp_path / "lock"), "echo", "under the lock"]
    assert subprocess.run(locked, capture_output=True, text=True, check=True).stdout == "under the lock\n"
