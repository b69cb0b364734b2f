"""Our own options stand where they like among pip's, and what is the value of one of pip's is no command."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.run import install, names
from support.trees import STATE, site_packages, snapshot
from support.twins import Done, end, environment, our_command, start
from support.wheels import make_wheel


def run(prefix: Path, home: Path, line: str, wheel: Path) -> Done:
    """Run `line`; in it, P is the prefix, and the wheel is that of `plain`."""
    command = our_command(prefix)
    command = command[: command.index("--prefix")]
    paths = {"P": str(prefix), "WHEEL": str(wheel), "DIR": str(wheel.parent)}
    return end(start([*command, *(paths.get(word, word) for word in line.split())], environment(home)))


@pytest.mark.parametrize(
    "line",
    [
        "--timeout 5 --prefix P install --no-index WHEEL",
        "-v --retries 0 --prefix P --proxy= install --no-index WHEEL",
        "--prefix P --timeout=5 --cache-dir DIR install --no-index WHEEL",
        "--prefix P install --no-index --lock-timeout 5 WHEEL --durable",
        "--prefix P --durable install --no-index --find-links DIR -- plain",
        "--prefix P --time 5 install --no-index WHEEL",
        "--prefix P -q --cache DIR --no-color install --no-index WHEEL",
    ],
)
def test_options_of_both_before_and_after_the_command(prefix: Path, home: Path, files: Path, line: str) -> None:
    done = run(prefix, home, line, files / "plain-1.0-py3-none-any.whl")
    assert done.returncode == 0, done.stderr
    assert "plain 1.0" in names(prefix)
    assert (site_packages(prefix) / "plain-1.0.dist-info/INSTALLER").read_text().strip() == "sage-wheels"


@pytest.mark.parametrize(
    "line",
    [
        "--timeout 5 --prefix P uninstall -y plain",
        "--prefix P uninstall --durable -y plain",
        "--prefix P --time 5 uninstall -y plain",
    ],
)
def test_and_of_uninstall(prefix: Path, home: Path, files: Path, line: str) -> None:
    wheel = files / "plain-1.0-py3-none-any.whl"
    install(prefix, wheel)
    done = run(prefix, home, line, wheel)
    assert done.returncode == 0, done.stderr
    assert "plain 1.0" not in names(prefix)
    assert "Successfully uninstalled plain-1.0" in done.stdout
    assert (prefix / STATE / "lock").exists()


def test_the_value_reaches_pip(prefix: Path, home: Path, files: Path) -> None:
    wheel = files / "plain-1.0-py3-none-any.whl"
    done = run(prefix, home, "--timeout five --prefix P list", wheel)
    assert done.returncode == 2
    assert "five" in done.stderr


@pytest.mark.parametrize("option", ["--on-conflict overwrite", "--on-conflict=overwrite"])
def test_the_advice_about_a_conflict_can_be_followed(
    prefix: Path, home: Path, files: Path, tmp_path: Path, option: str
) -> None:
    install(prefix, make_wheel(tmp_path / "own", "other", "1", {"plain.py": "# another one\n"}))
    before = snapshot(prefix)
    wheel = files / "plain-1.0-py3-none-any.whl"
    done = run(prefix, home, "--prefix P install --no-index WHEEL", wheel)
    assert done.returncode == 1
    assert "give --on-conflict overwrite" in done.stderr
    assert snapshot(prefix) == before
    done = run(prefix, home, f"--prefix P install --no-index {option} WHEEL", wheel)
    assert done.returncode == 0, done.stderr
    assert (site_packages(prefix) / "plain.py").read_text() == ""


@pytest.mark.parametrize(
    "line", ["--python PY install plain", "install --python PY plain", "install --python=PY plain"]
)
def test_the_python_is_that_of_the_prefix(prefix: Path, home: Path, files: Path, line: str) -> None:
    """pip itself would refuse the second and the third, but not when it is told that it runs for --python already."""
    done = run(prefix, home, f"--prefix P {line} --no-index --find-links DIR", files / "plain-1.0-py3-none-any.whl")
    assert done.returncode == 2
    assert "give --prefix before pip's command" in done.stderr
    assert "plain 1.0" not in names(prefix)


def test_a_value_that_our_option_does_not_take(prefix: Path, home: Path, files: Path) -> None:
    done = run(prefix, home, "--prefix P install --on-conflict perhaps plain", files / "plain-1.0-py3-none-any.whl")
    assert done.returncode == 2
    assert "perhaps" in done.stderr
