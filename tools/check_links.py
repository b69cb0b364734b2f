"""Follow each link of the documentation that leads to another host: `python -I tools/check_links.py`.

What is not there any more (HTTP 404, 410) is a fault. Where a server does not answer, that is said, and is a fault only
if none answers. Places that stand for others (example.org, HOST) are left out.
"""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"https?://[^\s)>\"'`\]|]+")
_STANDS_FOR_ANOTHER = re.compile(
    r"https?://([^/]*@|[A-Z]+\b|\.\.\.|([^/]*\.)?example\.|([^/]*\.)?(invalid|local)\b|127\.|localhost)"
)
_GONE = (404, 410)
_PATIENCE = 20  # seconds


def links(checkout: Path) -> dict[str, list[str]]:
    """The links to other hosts, each with the files in which it stands."""
    found: dict[str, list[str]] = {}
    for page in (*checkout.glob("*.md"), *checkout.glob("docs/**/*.md"), checkout / "pyproject.toml"):
        for link in sorted({each.rstrip(".,;:") for each in _LINK.findall(page.read_text(encoding="utf-8"))}):
            if not _STANDS_FOR_ANOTHER.match(link):
                found.setdefault(link, []).append(page.relative_to(checkout).as_posix())
    return found


def answer(link: str) -> int | str:
    """The status with which the server answers, or why there is none."""
    request = urllib.request.Request(link.partition("#")[0], headers={"User-Agent": "sage-wheels: links of its manual"})
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def main() -> int:
    found = links(CHECKOUT)
    answers = {link: answer(link) for link in sorted(found)}
    for link, said in answers.items():
        if said != 200:
            print(f"{link}: {said} (in {', '.join(found[link])})")
    if not any(isinstance(each, int) for each in answers.values()):
        print(f"none of {len(answers)} links could be followed: there is no network here")
        return 1
    gone = [link for link, said in answers.items() if said in _GONE]
    print(f"{len(answers)} links followed: {len(gone)} lead to what is not there")
    return bool(gone)


if __name__ == "__main__":
    sys.exit(main())
