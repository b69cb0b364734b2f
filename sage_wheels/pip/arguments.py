"""The options of pip that must be known to find the command on its command line, and to implement `uninstall`."""

from __future__ import annotations

# pip's options that may stand before the command, and after it, and that have a value (pip 26)
WITH_VALUE = (
    *("--log", "--log-file", "--local-log", "--proxy", "--retries", "--timeout", "--default-timeout", "--cert"),
    *("--exists-action", "--trusted-host", "--client-cert", "--cache-dir", "--use-feature", "--use-deprecated"),
    *("--keyring-provider", "--resume-retries", "--python"),
)
# the same, without a value
FLAGS = (
    *("--isolated", "--disable-pip-version-check", "--no-color", "--no-cache-dir", "--no-python-version-warning"),
    *("--debug", "--no-proxy-env"),
)
OF_LOG = ("--log", "--log-file", "--local-log")
# the options whose value is a number, and the type of the number
NUMBERS = {"--timeout": float, "--default-timeout": float, "--retries": int, "--resume-retries": int}


def command_at(arguments: list[str]) -> int:
    """The index of pip's command in `arguments`; their number if there is none."""
    at = 0
    while at < len(arguments) and arguments[at].startswith("-"):
        at += 2 if _has_value(arguments[at]) else 1
    return min(at, len(arguments))


def _has_value(option: str) -> bool:
    """Whether the next word belongs to `option`, which people may abbreviate."""
    return len(option) > 2 and any(each.startswith(option) for each in WITH_VALUE)
