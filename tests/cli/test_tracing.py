"""-v, -vv and SAGE_WHEELS_LOG: why, what and when; and nothing of `logging` where nobody asks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sage_wheels import trace
from sage_wheels.cli import main
from support.projects import make_tree
from support.run import install, tool, tool_environment
from support.trees import make_prefix, snapshot
from support.wheels import make_wheel

TIME = r"sage-wheels: \[ *[0-9]+ ms\] "


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


def wheel(tmp_path: Path, name: str, content: str = "") -> Path:
    return make_wheel(tmp_path, name, "1.0", {"shared.py": content, f"{name}.py": ""})


def test_why_a_wheel_is_installed_and_why_it_is_left_out(tmp_path: Path, prefix: Path) -> None:
    one = wheel(tmp_path, "one")
    first = tool("install", "-v", "--prefix", prefix, one)
    assert f"sage-wheels: one 1.0 is installed from {one}, instead of nothing\n" in first.stderr
    assert "sage-wheels: nothing is built: every item is a wheel\n" in first.stderr
    assert "planned" not in first.stderr
    second = tool("install", "-v", "--prefix", prefix, one)
    assert "sage-wheels: one 1.0 is left out: it is installed with the same content\n" in second.stderr
    assert "decided" not in tool("install", "--prefix", prefix, one).stderr


def test_the_next_command_of_the_same_process_is_asked_anew(
    tmp_path: Path, prefix: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["install", "--dry-run", "--prefix", str(prefix), str(wheel(tmp_path, "one"))]
    for options, said in ((["-vv"], 1), ([], 0), (["-v"], 1)):
        assert main([*command, *options]) == 0
        assert capfd.readouterr().err.count("nothing is built: every item is a wheel") == said


def test_why_there_is_a_conflict_and_a_second_plan(tmp_path: Path, prefix: Path) -> None:
    install(prefix, wheel(tmp_path, "one", "1"))
    done = tool("install", "-v", "--prefix", prefix, wheel(tmp_path, "two", "2"))
    assert done.returncode == 1
    assert "planning again, with the lock held, because another process may be making changes: " in done.stderr
    assert re.search(r"shared\.py is in the way: it stays, and its content differs from the new one", done.stderr)
    done = tool("install", "-v", "--on-conflict", "overwrite", "--prefix", prefix, wheel(tmp_path, "two", "2"))
    assert re.search(r"shared\.py is overwritten; no copy is kept", done.stderr)


def test_each_step_with_its_time(tmp_path: Path, prefix: Path) -> None:
    done = tool("install", "-vv", "--prefix", prefix, wheel(tmp_path, "one"))
    for step in (
        r"staging 1 wheels in ",
        r"planned: place lib/.*/one\.py",
        r"[0-9]+ steps were taken; the lock was held",
    ):
        assert re.search(f"^{TIME}{step}", done.stderr, re.MULTILINE)


def test_why_something_is_built(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", "demo", "1.0")
    environ = tool_environment(XDG_CACHE_HOME=str(tmp_path / "cache"))
    done = tool("build", "-v", "--wheel-dir", tmp_path, tree, env=environ)
    assert "demo is built in a copy and in an environment of its own: it is no wheel, but a source tree" in done.stderr


def test_a_file_gets_all_of_it_and_is_added_to(tmp_path: Path, prefix: Path) -> None:
    log = tmp_path / "log"
    for name in ("one", "two"):
        done = tool(
            "install", "--prefix", prefix, wheel(tmp_path, name), env=tool_environment(SAGE_WHEELS_LOG=str(log))
        )
        assert done.stderr == f"sage-wheels: {name} 1.0 installed into {prefix}\n"
    lines = log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \d+ ", line) for line in lines)
    for text in ("one 1.0 is installed from", "two 1.0 is installed from", "planned: place", "steps were taken"):
        assert any(text in line for line in lines)


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path, prefix: Path) -> None:
    before = snapshot(prefix)
    done = tool(
        "install",
        "--prefix",
        prefix,
        wheel(tmp_path, "one"),
        env=tool_environment(SAGE_WHEELS_LOG=f"{tmp_path}/no/log"),
    )
    assert done.returncode == 1
    assert re.fullmatch(
        r"sage-wheels: error: opening the log that SAGE_WHEELS_LOG names failed at .*no/log.*\n", done.stderr
    )
    assert snapshot(prefix) == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_on_a_full_disk_stops_nothing(tmp_path: Path, prefix: Path) -> None:
    done = tool(
        "install", "--prefix", prefix, wheel(tmp_path, "one"), env=tool_environment(SAGE_WHEELS_LOG="/dev/full")
    )
    assert (done.returncode, done.stderr) == (0, f"sage-wheels: one 1.0 installed into {prefix}\n")


def test_what_is_told_under_a_lock_is_told_later(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG", trace.LOGGER):
        with trace.later():
            trace.decided("why %s", "this")
            trace.step("what")
            assert caplog.messages == []
        assert caplog.messages == ["why this", "what"]
