"""The documentation: its site is made without a network, and its commands are understood."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.cli import package_of, parser_of
from support.modules import loaded

SYNOPSIS = re.compile(r"\[--|\[-|\.\.\.|\|")


def commands_in(page: Path) -> list[str]:
    """The command lines of sage-wheels in the code blocks of a page, but for those that are a synopsis."""
    lines = re.findall(r"^    (?:\$ )?(sage-wheels [^|\n]*)$", page.read_text(), re.MULTILINE)
    return [line for line in lines if not SYNOPSIS.search(line)]


def test_every_command_in_the_documentation_is_understood(checkout: Path) -> None:
    found = [
        (page, line)
        for page in (checkout / "README.md", *(checkout / "docs").glob("*.md"))
        for line in commands_in(page)
    ]
    assert len(found) >= 10
    for page, line in found:
        name, *words = shlex.split(line, comments=True)[1:]
        assert package_of(name), (page, line)
        if name == "pip":
            parser_of(name).parse_known_args(words)
        else:
            parser_of(name).parse_all(words)


def test_every_session_and_every_name_in_an_example_is_there(checkout: Path) -> None:
    pages = [checkout / "README.md", checkout / "CONTRIBUTING.md", *(checkout / "docs").glob("*.md")]
    text = "\n".join(page.read_text() for page in pages)
    sessions = set(re.findall(r"nox -s ([a-z-]+)", text))
    noxfile = (checkout / "noxfile.py").read_text()
    there = {*re.findall(r"^def (\w+)\(session", noxfile, re.MULTILINE), *re.findall(r'name="([a-z-]+)"', noxfile)}
    assert len(sessions) >= 4
    assert sessions <= there
    groups = set(re.findall(r"nox -s benchmarks -- (?:--\S+ (?:/\S+ )?)*([a-z]+)", text))
    assert len(groups) >= 4
    assert [each for each in groups if not any((checkout / "benchmarks").glob(f"{each}*.py"))] in ([], ["pip"])
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 2
    for each in examples:
        compile(each, "example", "exec")
        for name in re.findall(r"\bsage_wheels\.(\w+)", each):
            assert hasattr(sage_wheels, name)


def test_the_links_that_are_followed(checkout: Path) -> None:
    """`nox -s links` follows them; that needs a network, and here it is only seen which ones those are."""
    with loaded(checkout / "tools/check_links.py") as module:
        found = module.links(checkout)
    assert "https://www.sagemath.org" in found
    assert [each for each in found if "example" in each or not each.startswith("https://")] == []


def test_the_pages_that_readme_names_are_there(checkout: Path) -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", (checkout / "README.md").read_text())
    assert len(named) >= 10
    assert [each for each in named if not (checkout / each).exists()] == []


@pytest.mark.once
def test_the_site_is_made_without_a_network(checkout: Path, tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(checkout / "mkdocs.yml")]
    unshare = ["unshare", "--net", "--map-root-user"]
    alone = subprocess.run([*unshare, "true"], capture_output=True).returncode == 0
    command = [*(unshare if alone else []), *command, "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site/commands/install/index.html").read_text()
    assert "--on-conflict" in page
    for each in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=.(https?://[^\"']*)", each.read_text())
        assert loaded == [], each
