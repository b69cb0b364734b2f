"""What MkDocs asks: pages that are made from the parsers and from CHANGELOG.md."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent


def on_files(files: Any, config: Any) -> Any:
    """Add a page for each command, and the changelog."""
    from mkdocs.structure.files import File

    os.environ["COLUMNS"] = "90"
    sys.path.insert(0, str(CHECKOUT))
    from sage_wheels.cli import COMMANDS, parser_of

    for name, what in COMMANDS.items():
        text = f"# sage-wheels {name}\n\n{what.capitalize()}.\n\n```text\n{parser_of(name).format_help()}```\n"
        files.append(File.generated(config, f"commands/{name}.md", content=text))
    files.append(File.generated(config, "changelog.md", content=(CHECKOUT / "CHANGELOG.md").read_text()))
    return files
