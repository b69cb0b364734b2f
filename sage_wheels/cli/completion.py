"""Print what a shell needs to complete command lines of sage-wheels.

If 'pip install' has put it into the directories of the system, the shell finds it by itself. If not:

    bash: sage-wheels completion bash > ~/.local/share/bash-completion/completions/sage-wheels
    zsh:  sage-wheels completion zsh > DIRECTORY-IN-FPATH/_sage-wheels
    fish: sage-wheels completion fish > ~/.config/fish/completions/sage-wheels.fish
"""

from __future__ import annotations

import argparse
import os

EXAMPLES = """\
    sage-wheels completion bash
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="SHELL", help="bash, zsh or fish")


def run(options: argparse.Namespace) -> int:
    loader = __spec__.loader
    path = os.path.join(os.path.dirname(__file__), "completions", options.shell)
    text: bytes = loader.get_data(path)  # type: ignore[union-attr]  # works from a directory and from a zip
    print(text.decode(), end="")
    return 0
