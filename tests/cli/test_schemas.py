"""What is printed with --json is what docs/schemas says, for every command that has the option."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sage_wheels.cli import COMMANDS, parser_of
from support.projects import make_tree
from support.run import tool
from support.trees import make_prefix, site_packages
from support.wheels import make_wheel


def schema(checkout: Path, name: str) -> Any:
    found = json.loads((checkout / f"docs/schemas/{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return found


def check(checkout: Path, name: str, text: str) -> Any:
    content = json.loads(text)
    jsonschema.Draft202012Validator(schema(checkout, name)).validate(content)
    return content


def test_every_command_with_json_has_a_schema(checkout: Path) -> None:
    having = [name for name in COMMANDS if parser_of(name).option("--json")]
    assert len(having) >= 10
    there = {each.stem for each in (checkout / "docs/schemas").glob("*.json")}
    assert there == {*having, "error", "version"}
    for name in there:
        schema(checkout, name)


def test_what_is_printed_is_what_the_schemas_say(checkout: Path, tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)

    def run(command: str, *arguments: str | Path, status: int = 0) -> Any:
        done = tool(command, "--prefix", prefix, "--json", *arguments)
        assert done.returncode == status, (command, done.stderr)
        return check(checkout, command, done.stdout)

    wheel = make_wheel(tmp_path, "one", "1.0", {"one.py": "", "two.py": "# mine\n"}, requires=["absent"])
    other = make_wheel(tmp_path, "two", "1.0", {"two.py": "# other\n"})
    tree = make_tree(tmp_path / "tree", "three", "3")
    (built,) = run("build", "--cache-dir", tmp_path / "cache", "-w", tmp_path, f"{tree}/")
    assert built["direct_url"]["url"].startswith("file://")
    broken = make_tree(tmp_path / "broken", "broken", "1", hook="raise ValueError")
    several: list[str | Path] = ["--cache-dir", tmp_path / "cache", "-w", tmp_path, "-k", f"{tree}/", f"{broken}/"]
    # one of many is the same as one alone, whatever it is told of its slots
    assert [each["status"] for each in run("build", *several, status=1)] == ["stored", "failed"]
    assert run("install", "--destdir", tmp_path / "staged", wheel)[0]["files"]
    assert run("install", wheel)["unmet"]
    assert run("install", wheel)["unchanged"]
    assert run("install", "--on-conflict", "overwrite", other)["overwritten"]
    assert run("install", "--cache-dir", tmp_path / "cache", "--editable", f"{tree}/")["changes"]
    stamps = prefix / "var/lib/sage-wheels/stamps"
    stamps.mkdir()
    (stamps / "pkg").write_text(f"one @ file://{wheel}\n")
    assert len(run("list", "--size")) == 3
    assert any(each["wheelhouse"] for each in run("list"))
    assert len(run("show", "one", "three")) == 2
    assert run("files", "one")
    assert run("owner", site_packages(prefix) / "one.py")
    assert run("owner", "*/one.py")
    assert run("tree")
    assert run("why", "absent")["needed_by"]
    assert run("freeze")
    assert len(run("lock")["packages"]) == 3
    newer = make_wheel(tmp_path / "newer", "two", "2.0", {})
    assert [each["there"] for each in run("list", "--outdated-by", newer.parent)] == ["2.0"]
    assert run("check", status=4)
    assert run("history")
    assert run("history", "--size")
    (site_packages(prefix) / "one.py").unlink()
    assert run("verify", status=4)
    assert run("repair", "--dry-run", "one", status=4)["faults"]
    run("restore", "--all")
    assert run("uninstall", "one", "absent")["unchanged"]
    assert run("undo")["changes"]
    assert run("recover") == []
    assert run("cache", "--cache-dir", tmp_path / "cache", "info")["size"]
    assert run("cache", "--cache-dir", tmp_path / "cache", "clear")["freed"]
    for options in ([], ["--verbose"]):
        check(checkout, "version", tool("--version", "--json", *options).stdout)


@pytest.mark.parametrize("words", [["show", "absent"], ["list", "--wrong"], ["install", "./nowhere"]])
def test_errors(checkout: Path, tmp_path: Path, words: list[str]) -> None:
    done = tool("--json", "--prefix", make_prefix(tmp_path), *words)
    assert check(checkout, "error", done.stdout)["error"]["status"] == done.returncode
