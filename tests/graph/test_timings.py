"""The page of `--timings`: what is on it, and that it needs nothing else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

from graph.conftest import Workshop
from sage_wheels.graph import timings
from support.run import tool, tool_environment


class _Balanced(HTMLParser):
    """Fails where an element is closed that is not open, or left open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_page(text: str) -> None:
    parser = _Balanced()
    parser.feed(text)
    assert parser.open == []
    assert parser.links == []
    assert not re.search(r"https?://|url\(|<script", text)


def test_a_run(workshop: Workshop) -> None:
    page = workshop.root / "page.html"
    base, top = workshop.project("base", seconds=0.3), workshop.project("top", requires=["base"])
    alone = workshop.project("alone")
    assert workshop.build("-j1", f"--timings={page}", top, alone, base).done.returncode == 0
    text = page.read_text()
    check_page(text)
    assert "base 1.0 → top 1.0" in text
    assert re.search(r"1 slots, idle for [\d.]+ s together: for [\d.]+ s no build was ready", text)
    assert re.search(r"would take about [\d.]+ s with 1 slots, [\d.]+ s with 2 slots, [\d.]+ s with 4 slots", text)
    entries = json.loads(page.with_suffix(".json").read_text())
    assert {each["name"]: each["after"] for each in entries} == {"top": ["base 1.0"], "alone": [], "base": []}
    phases = ["source", "look-up", "environment", "get_requires", "build", "store"]
    assert [phase for phase, _ in entries[0]["phases"]] == phases


def test_separate_processes_are_one_picture(workshop: Workshop) -> None:
    collected, page = workshop.root / "timings.jsonl", workshop.root / "all.html"
    variables = {"SAGE_WHEELS_TIMINGS": str(collected)}
    workshop.build(workshop.project("one"), **variables)
    workshop.build("-k", workshop.project("two"), workshop.project("bad", hook="raise SystemExit(1)"), **variables)
    single = workshop.command(workshop.project("three"))
    assert tool(*single[3:], env=tool_environment(**variables)).returncode == 0
    assert [json.loads(line)["name"] for line in collected.read_text().splitlines()] == ["one", "two", "bad", "three"]
    done = tool("timings", "--output", page, collected, cwd=workshop.root)
    assert (done.returncode, done.stdout) == (0, f"{page}\n")
    check_page(page.read_text())
    assert "bad 1.0: failed" in page.read_text()


def test_the_processor_time_of_a_backend_and_of_what_it_starts(workshop: Workshop) -> None:
    collected = workshop.root / "timings.jsonl"
    busy = "import time\nwhile time.process_time() < 0.2: pass"
    hook = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}]); exec({busy!r})"
    single = workshop.command(workshop.project("busy", hook=hook))
    assert tool(*single[3:], env=tool_environment(SAGE_WHEELS_TIMINGS=str(collected))).returncode == 0
    assert json.loads(collected.read_text())["processor"] >= 0.4


def test_what_is_no_timings(workshop: Workshop) -> None:
    file = workshop.root / "file"
    for content in ("nonsense", "[1]", '{"name": "x"}', "\0"):
        file.write_text(content)
        done = tool("timings", file, cwd=workshop.root)
        assert done.returncode == 1
        assert "has no timings in it" in done.stderr
        assert "Traceback" not in done.stderr
    assert tool("timings", workshop.root / "absent", cwd=workshop.root).returncode == 1
    file.write_text("")
    assert "contains no build" in tool("timings", file, cwd=workshop.root).stderr


def test_names_cannot_change_the_page() -> None:
    entry = {"name": "<script>x</script>", "version": "&", "status": "built", "began": 0.0, "ended": 1.0, "phases": []}
    check_page(timings.page([entry], 2))


def test_which_worker() -> None:
    entry = {"name": "one", "version": "1", "status": "built", "began": 0.0, "ended": 1.0, "worker": "tcp://<here>"}
    text = timings.page([entry, {**entry, "name": "two", "worker": ""}], 2)
    check_page(text)
    assert "<td>tcp://&lt;here&gt;</td>" in text
    assert "worker" not in timings.page([{**entry, "worker": ""}], 2)


def test_nothing_to_show() -> None:
    check_page(timings.page([]))
