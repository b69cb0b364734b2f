"""The page of `--timings` in a real browser: what people see of 200 builds, in the light, in the dark, and on paper."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sage_wheels.graph import timings

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chromium-headless-shell"))), None)
pytestmark = [
    pytest.mark.skipif(_BROWSER is None, reason="there is no Chromium here"),
    pytest.mark.slow,
    pytest.mark.once,
]

# What is looked at when the page is shown: added by the test, for the page has no program.
_LOOK = """<script>
const texts = [...document.querySelectorAll("svg text")], boxes = texts.map(each => each.getBoundingClientRect());
const overlap = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
let overlapping = [];
boxes.forEach((a, i) => boxes.forEach((b, j) => {
    if (i < j && overlap(a, b)) overlapping.push(texts[i].textContent + " | " + texts[j].textContent);
}));
const inside = [...document.querySelectorAll("svg")].every(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text, rect, line")].every(each => {
        const box = each.getBoundingClientRect();
        return box.left >= frame.left - 1 && box.right <= frame.right + 1 && box.bottom <= frame.bottom + 1;
    });
});
document.title = JSON.stringify({
    rows: document.querySelectorAll("svg g").length,
    overlapping: overlapping.slice(0, 5),
    inside: inside,
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
    height: Math.min(...boxes.map(each => each.height)),
    text: getComputedStyle(texts[0]).fill,
    back: getComputedStyle(document.body).backgroundColor,
});
</script>"""


def stack(count: int) -> list[timings.Entry]:
    """A run of so many builds in eight slots."""
    chance = random.Random(3)
    free = [0.0] * 8
    entries: list[timings.Entry] = []
    for number in range(count):
        after = chance.sample(entries, min(number, chance.choice((0, 1, 1, 2, 3))))
        ready = max((float(each["ended"]) for each in after), default=0.0)
        slot = min(range(8), key=lambda each: max(free[each], ready))
        began, seconds = max(free[slot], ready), chance.lognormvariate(1.2, 1.3)
        free[slot] = began + seconds
        phases = [[name, began + part * seconds] for name, part in (("source", 0.0), ("build", 0.2), ("store", 0.95))]
        entries.append(
            {
                "name": f"package-with-a-name-{number}",
                "version": f"1.{number}",
                "ready": ready,
                "began": began,
                "status": chance.choice(["built"] * 20 + ["failed"]),
                "ended": free[slot],
                "phases": phases,
                "after": [f"{each['name']} {each['version']}" for each in after],
            }
        )
    return entries


def _browser(directory: Path, *options: str) -> str:
    command = [str(_BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={directory / 'profile'}"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("is_dark", [False, True])
def test_what_is_seen(tmp_path: Path, is_dark: bool) -> None:
    page = tmp_path / "page.html"
    page.write_text(timings.page(stack(200), 8).replace("</body>", f"{_LOOK}</body>"))
    options = ["--window-size=1280,1400", *(["--blink-settings=preferredColorScheme=0"] if is_dark else [])]
    shown = _browser(tmp_path, *options, "--dump-dom", page.as_uri())
    found = re.search("<title>(.*?)</title>", shown)
    assert found
    seen = json.loads(found[1].replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&"))
    assert seen["rows"] == 200
    assert seen["overlapping"] == []
    assert seen["inside"]
    assert not seen["wide"]
    assert seen["height"] > 8
    text, back = (sum(map(int, re.findall(r"\d+", seen[each])[:3])) for each in ("text", "back"))
    assert (text - back > 400) if is_dark else (back - text > 400)


def test_on_paper_and_as_a_picture(tmp_path: Path) -> None:
    """On paper no picture is cut: each has its page."""
    page, paper, picture = tmp_path / "page.html", tmp_path / "page.pdf", tmp_path / "page.png"
    page.write_text(timings.page(stack(200), 8))
    _browser(tmp_path, f"--print-to-pdf={paper}", page.as_uri())
    assert paper.read_bytes().count(b"/Type /Page\n") >= 5
    _browser(tmp_path, "--window-size=1280,1400", f"--screenshot={picture}", page.as_uri())
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 50_000  # an empty one has fewer
