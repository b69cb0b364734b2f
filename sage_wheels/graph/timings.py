"""Make a page that shows the builds over time: one HTML file without scripts or external resources.

It is made from entries, one for each build:

    {"name", "version", "status", "began", "ended", "ready", "phases": [[NAME, BEGAN], ...], "after": [NAME, ...],
     "worker"}

with times in seconds. `build --timings` has them in one run. Separate processes (a make that builds a collection)
collect them as lines of the file that $SAGE_WHEELS_TIMINGS names, with times since the epoch. The entry of a process
that built one thing has "processor", too: the processor time of the programs that it ran, such as backend and compiler.
"""

from __future__ import annotations

import html
import itertools
import json
import math
import os
import time
from typing import Any

from sage_wheels.errors import SourceError
from sage_wheels.graph.analysis import critical_path, idle, makespan, seconds, title

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_wheels.graph.scheduler import Outcome

Entry = dict[str, Any]

_PHASES = ("source", "look-up", "environment", "get_requires", "build", "store")
_COLOURS = {
    "source": "#9aa5b1",
    "look-up": "#7fb7be",
    "environment": "#5b8def",
    "get_requires": "#b48ead",
    "build": "#e0a458",
    "store": "#6a9955",
}
_ROW, _BAR, _LEFT, _WIDTH = 20, 14, 220, 900
_ROWS = 40  # in a picture, so that each page of paper has whole rows, and the times are never far

_STYLE = """
:root { color-scheme: light dark; --text: #222; --back: #fff; --line: #ccc; --bad: #c0392b; --path: #d6336c; }
@media (prefers-color-scheme: dark) {
  :root { --text: #ddd; --back: #1b1d21; --line: #444; --bad: #ff6b5e; --path: #ff8fb3; }
}
body { font: 14px/1.4 system-ui, sans-serif; color: var(--text); background: var(--back); margin: 2em; }
svg { display: block; max-width: 100%; height: auto; break-inside: avoid; font: 12px system-ui, sans-serif; }
svg text { fill: var(--text); }
.grid { stroke: var(--line); } .failed { stroke: var(--bad); stroke-width: 2; fill: none; }
.critical { stroke: var(--path); stroke-width: 2; fill: none; }
.wait { stroke: var(--text); stroke-opacity: 0.6; stroke-dasharray: 2 2; }
.colour { padding: 0 .7em; margin: 0 .4em 0 1em; print-color-adjust: exact; }
table { border-collapse: collapse; } tr { break-inside: avoid; }
thead { display: table-header-group; } td, th { padding: 2px 12px 2px 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
@media print {
  :root { color-scheme: light; --text: #000; --back: #fff; --line: #ccc; --bad: #c0392b; --path: #d6336c; }
  body { margin: 0; } h2 { break-before: page; }
}
"""


def entries_of(outcomes: Sequence[Outcome]) -> list[Entry]:
    """The entries of one run; a build that was not tried has none."""
    names = [str(outcome.project) for outcome in outcomes]
    return [
        {
            "name": outcome.project.name,
            "version": str(outcome.project.version or ""),
            "status": outcome.status,
            "ready": round(outcome.ready, 3),
            "began": round(outcome.began, 3),
            "ended": round(outcome.ended, 3),
            "phases": [[name, round(began, 3)] for name, began in outcome.phases],
            "after": [names[number] for number in sorted(outcome.after)],
            "worker": outcome.worker,
        }
        for outcome in outcomes
        if outcome.status != "not tried" and outcome.phases
    ]


def entry_of_one(name: str, status: str, began: float, phases: Sequence[tuple[str, float]]) -> Entry:
    """The entry of the only build of this process, which ends now; `began`, and each of the `phases`, in seconds since
    the epoch."""
    used = os.times()
    return {
        "name": name,
        "version": "",
        "status": status,
        "began": round(began, 3),
        "ended": round(time.time(), 3),
        "phases": [[phase, round(at, 3)] for phase, at in phases],
        "after": [],
        "processor": round(used.children_user + used.children_system, 3),
    }


def shifted(entries: Sequence[Entry], seconds: float) -> list[Entry]:
    """`entries` with later times."""
    later = [{**entry, "phases": [[name, at + seconds] for name, at in entry["phases"]]} for entry in entries]
    return [
        {**each, **{key: each[key] + seconds for key in ("ready", "began", "ended") if key in each}} for each in later
    ]


def collect(path: str, entries: Sequence[Entry]) -> None:
    """Append `entries` to the file at `path`; several processes may do so at the same time. Raises `OSError`."""
    lines = "".join(json.dumps(entry) + "\n" for entry in entries)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        os.write(fd, lines.encode())
    finally:
        os.close(fd)


def read(path: str, text: str) -> list[Entry]:
    """The entries in a file: a JSON list, or a JSON object a line. Raises `SourceError` if it is neither."""
    try:
        found = json.loads(text) if text.lstrip().startswith("[") else [json.loads(each) for each in text.splitlines()]
        for entry in found:
            float(entry["began"]), float(entry["ended"]), str(entry["name"]), list(entry.get("phases", ()))
    except (ValueError, TypeError, KeyError) as error:
        raise SourceError(
            f"{path} has no timings in it", "name a file that --timings or SAGE_WHEELS_TIMINGS made"
        ) from error
    return list(found)


def page(entries: Sequence[Entry], slots: int | None = None) -> str:
    """The page; `slots` is how many builds could run at the same time, as far as that is known."""
    shown = sorted(entries, key=lambda each: (float(each["began"]), title(each)))
    zero = min((float(each["began"]) for each in shown), default=0.0)
    end = max((float(each["ended"]) for each in shown), default=0.0)
    whole = max(end - zero, 0.001)
    chain = critical_path(shown)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Builds</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>Builds</h1>\n"
        f"{_summary(shown, chain, whole, slots)}\n{_legend()}\n"
        f"{_chart(shown, chain, zero, whole)}\n{_table(shown, zero)}\n</body></html>\n"
    )


def _summary(entries: Sequence[Entry], chain: Sequence[Entry], whole: float, slots: int | None) -> str:
    work = sum(seconds(each) for each in entries)
    path = sum(seconds(each) for each in chain)
    lines = [
        f"{len(entries)} builds in {whole:.1f} s: {work:.1f} s of work, {work / whole:.2f} at a time.",
        f"The critical path takes {path:.1f} s: {' → '.join(map(title, chain))}.",
    ]
    if slots:
        bound, free = max(path, work / slots), idle(entries, slots)
        lines.append(
            f"{slots} slots, idle for {sum(free):.1f} s together: for {free.ready:.1f} s no build was ready, and for "
            f"{free.otherwise:.1f} s one was, but needed more slots than were free, or tokens that others had."
        )
        more = ", ".join(f"{makespan(entries, slots * times):.1f} s with {slots * times} slots" for times in (1, 2, 4))
        lines.append(
            f"The same builds would take about {more}; no order takes less than {bound:.1f} s on {slots}, and no "
            f"number of slots less than {path:.1f} s."
        )
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def _legend() -> str:
    items = "".join(f'<span class="colour" style="background:{_COLOURS[each]}"></span>{each}' for each in _PHASES)
    marks = "".join(
        f'<span class="colour" style="border:2px solid var({colour})"></span>{what}'
        for colour, what in (("--path", "on the critical path"), ("--bad", "failed"))
    )
    return f"<p>{items}{marks} (dashed: ready, but no slot was free)</p>"


def _chart(entries: Sequence[Entry], chain: Sequence[Entry], zero: float, whole: float) -> str:
    pieces = [entries[start : start + _ROWS] for start in range(0, len(entries), _ROWS)]
    return "\n".join(_piece(piece, chain, zero, whole) for piece in pieces)


def _piece(entries: Sequence[Entry], chain: Sequence[Entry], zero: float, whole: float) -> str:
    height = _ROW * (len(entries) + 1) + 10
    scale = _WIDTH / whole
    parts = [f'<svg viewBox="0 0 {_LEFT + _WIDTH + 60} {height}" role="img" aria-label="builds over time">']
    for tick in _ticks(whole):
        x = _LEFT + tick * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{_ROW}" x2="{x:.1f}" y2="{height}"/>')
        parts.append(f'<text x="{x:.1f}" y="12" text-anchor="middle">{tick:g} s</text>')
    for row, entry in enumerate(entries, 1):
        parts += _bar(entry, row * _ROW + 4, zero, scale, is_critical=entry in chain)
    return "".join([*parts, "</svg>"])


def _ticks(whole: float) -> list[float]:
    """Round numbers of seconds up to `whole`, five to ten of them.

    >>> _ticks(257.0)
    [0, 50, 100, 150, 200, 250]
    """
    power = 10.0 ** math.floor(math.log10(whole / 5))
    step = next(each * power for each in (10, 5, 2, 1) if whole / (each * power) >= 5)
    step = int(step) if step >= 1 else step
    return [round(each * step, 6) for each in range(int(whole / step) + 1)]


def _bar(entry: Entry, y: int, zero: float, scale: float, *, is_critical: bool) -> list[str]:
    began, ended = float(entry["began"]), float(entry["ended"])
    left, right = _LEFT + (began - zero) * scale, _LEFT + (ended - zero) * scale
    where = f" on {entry['worker']}" if entry.get("worker") else ""
    said = html.escape(f"{title(entry)}: {entry.get('status', '')}{where} {seconds(entry):.1f} s")
    parts = [f"<g><title>{said}</title>"]
    parts.append(f'<text x="{_LEFT - 6}" y="{y + 11}" text-anchor="end">{html.escape(_short(title(entry)))}</text>')
    if (waited := _waited(entry)) > 0.05:
        x = max(left - waited * scale, _LEFT)
        parts.append(f'<line class="wait" x1="{x:.1f}" y1="{y + 7}" x2="{left:.1f}" y2="{y + 7}"/>')
    starts = [*((str(name), float(at)) for name, at in entry.get("phases", ())), ("", ended)]
    for (name, at), (_, until) in itertools.pairwise(starts):
        x, width = _LEFT + (at - zero) * scale, max((until - at) * scale, 0.5)
        colour = _COLOURS.get(name, "#888")
        parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>')
    mark = "failed" if entry.get("status") == "failed" else "critical" if is_critical else ""
    if mark:
        width = max(right - left, 1.0)
        parts.append(f'<rect class="{mark}" x="{left:.1f}" y="{y - 1}" width="{width:.1f}" height="{_BAR + 2}"/>')
    parts.append(f'<text x="{right + 4:.1f}" y="{y + 11}">{seconds(entry):.1f}</text></g>')
    return parts


def _table(entries: Sequence[Entry], zero: float) -> str:
    has_workers = any(each.get("worker") for each in entries)
    head = "<tr><th>build</th><th>what</th><th>began</th><th>seconds</th><th>waited for a slot</th>"
    head += "<th>worker</th></tr>" if has_workers else "</tr>"
    rows = "".join(_cells(each, zero, has_worker=has_workers) for each in sorted(entries, key=seconds, reverse=True))
    return f"<h2>The longest first</h2><table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _cells(entry: Entry, zero: float, *, has_worker: bool) -> str:
    texts = [title(entry), str(entry.get("status", ""))]
    numbers = [float(entry["began"]) - zero, seconds(entry), _waited(entry)]
    row = "".join(f"<td>{html.escape(each)}</td>" for each in texts)
    row += "".join(f'<td class="number">{each:.1f}</td>' for each in numbers)
    return f"<tr>{row}{_cell(entry) if has_worker else ''}</tr>"


def _cell(entry: Entry) -> str:
    return f"<td>{html.escape(str(entry.get('worker', '')))}</td>"


def _short(title: str) -> str:
    return title if len(title) <= 32 else f"{title[:31]}…"


def _waited(entry: Entry) -> float:
    """The seconds in which the build was ready and no slot was free."""
    began = float(entry["began"])
    return max(began - float(entry["ready"]), 0.0) if "ready" in entry else 0.0
