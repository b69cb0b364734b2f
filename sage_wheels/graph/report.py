"""The results of many builds: a table for people, JSON for programs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sage_wheels.errors import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from sage_wheels.graph.scheduler import Outcome

_WORDS = {"built": "built", "stored": "from the store", "failed": "failed", "not tried": "not tried"}
_MANY = 10  # sources with the same reason
_LINES = 10  # of the log of a build that failed


def table(outcomes: Sequence[Outcome], seconds: float) -> str:
    """The lines that people read at the end: what is not built, and why; then how many of each."""
    lines = []
    for outcome in outcomes:
        if outcome.status == "failed":
            lines.append(f"failed     {outcome.project}: {outcome.what}")
            if outcome.advice:
                lines.append(f"           {outcome.advice}")
            if outcome.result and outcome.result.details:
                lines += [f"           | {each}" for each in outcome.result.details.splitlines()[-_LINES:]]
    lines += _not_tried(outcomes)
    counted: Counter[str] = Counter(outcome.status for outcome in outcomes)
    told = ", ".join(f"{counted[status]} {word}" for status, word in _WORDS.items() if counted[status])
    saved = sum(each.result.stored_seconds for each in outcomes if each.result)
    taken = f" (their builds had taken {saved:.1f} s)" if counted["stored"] else ""
    told = told.replace(_WORDS["stored"], _WORDS["stored"] + taken)
    return "\n".join([*map(printable, lines), f"{len(outcomes)} sources in {seconds:.1f} s: {told}"])


def _not_tried(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each source that was not tried; one for all, if there is one reason for many."""
    names: dict[str, list[str]] = {}
    for each in outcomes:
        if each.status == "not tried":
            names.setdefault(each.what, []).append(str(each.project))
    lines = []
    for what, those in names.items():
        if len(those) > _MANY:
            lines.append(f"not tried  {len(those)} sources, because {what}: {', '.join(those)}")
        else:
            lines += [f"not tried  {each}: {what}" for each in those]
    return lines


def as_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """For each source: `name`, `version`, `source`, `status`, `path`, `direct_url`, `phases`, `log`, `notes`,
    `is_sandboxed`; of what came from the store `stored_seconds`, which its build had taken; of what was not built
    `what`, `advice`, `details` and `because_of`, the name of the one that failed."""
    return [_as_json(outcome, outcomes) for outcome in outcomes]


def _as_json(outcome: Outcome, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    result, project = outcome.result, outcome.project
    version = result.version if result and result.version else str(project.version or "")
    told: dict[str, Any] = {
        "name": project.name,
        "version": version,
        "source": project.text,
        "status": outcome.status,
        "began": round(outcome.began, 3),
        "ended": round(outcome.ended, 3),
    }
    if outcome.is_good and result:
        told.update(path=result.wheel, direct_url=result.direct_url, phases=result.phases, notes=list(result.notes))
        told.update(log=result.log or None, is_sandboxed=result.sandboxed)
        if result.stored:
            told["stored_seconds"] = result.stored_seconds
    else:
        told.update(what=outcome.what, advice=outcome.advice, details=result.details if result else "")
        told["log"] = (result.log if result else "") or None
        told["because_of"] = None if outcome.because_of is None else outcomes[outcome.because_of].project.name
    return told
