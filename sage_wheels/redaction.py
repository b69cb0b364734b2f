"""Remove what may be a secret from command lines and URLs, before they are written to a file.

The history and the lock file of a prefix contain command lines. Removed are: in a URL, the user, the password and the
query; the values of options that say where packages come from, or that are passed on to a backend or a server; and the
values of variables. In doubt, a value is removed.
"""

from __future__ import annotations

import re

# Compiled when there is a URL.
_URL = r"\b([A-Za-z][A-Za-z0-9+.-]*://)([^/@\s]*@)?([^\s?]*)(\?[^\s#]*)?"
_LEFT_OUT = "..."
# Options whose value is left out. pip's may be abbreviated, so a beginning of one of these counts, too.
_VALUES = (
    *("--index-url", "--pypi-url", "--extra-index-url", "--find-links", "--trusted-host", "--proxy", "--client-cert"),
    *("--keyring-provider", "--global-option", "--build-option", "--install-option", "--token", "--password"),
)
# Options with a value KEY=VALUE, of which only KEY is kept.
_PAIRS = ("--config-settings", "--set-variable", "--env", "--define")
_SHORT_VALUES = ("-i", "-f")
_SHORT_PAIRS = ("-C", "-D")
_SHORTEST = len("--in")


def command_line(arguments: list[str]) -> list[str]:
    """`arguments` without what may be secret.

    >>> command_line(["pip", "install", "-i", "https://me:pw@example.org", "-C", "key=pw", "x @ https://t@host/x.whl?a"])
    ['pip', 'install', '-i', '...', '-C', 'key=...', 'x @ https://host/x.whl?...']
    >>> command_line(["six==1.17", "TOKEN=pw"])
    ['six==1.17', 'TOKEN=...']
    """
    result: list[str] = []
    left_out = ""  # the option whose value comes next
    for each in arguments:
        if left_out and (left_out != "url" or "://" in each):
            result.append(_pair(each) if left_out == "pair" else _LEFT_OUT)
            left_out = ""
            continue
        option, equals, value = each.partition("=")
        kind = _kind(option)
        if kind and equals:
            result.append(f"{option}={_pair(value) if kind == 'pair' else _LEFT_OUT}")
        elif kind:
            result.append(each)
            left_out = kind
        elif each.startswith(_SHORT_VALUES) and not each.startswith("--"):
            result.append(f"{each[:2]}{_LEFT_OUT}")
        elif each.startswith(_SHORT_PAIRS):
            result.append(f"{each[:2]}{_pair(each[2:])}")
        elif equals and not value.startswith("=") and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", option):
            result.append(_pair(each))  # a variable
        else:
            result.append(url(each))
    return result


def url(text: str) -> str:
    """`text`, in which every URL has neither user nor password nor query.

    >>> url("https://me:secret@example.org/x.whl?token=secret#sha256=00")
    'https://example.org/x.whl?...#sha256=00'
    """
    if "://" not in text:
        return text
    return re.sub(_URL, lambda found: f"{found[1]}{_plain(found[3])}{'?' + _LEFT_OUT if found[4] else ''}", text)


def _plain(rest: str) -> str:
    """The rest of a URL without another `@` before its host: a password that was not quoted may contain one."""
    host, slash, path = rest.partition("/")
    return host.rpartition("@")[2] + slash + path


def _kind(option: str) -> str:
    """What follows `option`: "value" (a secret), "pair" (KEY=SECRET), "url" (a secret if it is a URL), or ""."""
    if option == "--index":  # our own option has no value; to pip, it is short for --index-url
        return "url"
    if option in _SHORT_VALUES:
        return "value"
    if option in _SHORT_PAIRS:
        return "pair"
    if not option.startswith("--") or len(option) < _SHORTEST:
        return ""
    if any(each.startswith(option) or option.startswith(each) for each in _VALUES):
        return "value"
    return "pair" if any(each.startswith(option) for each in _PAIRS) else ""


def _pair(text: str) -> str:
    key, equals, _ = text.partition("=")
    return f"{key}={_LEFT_OUT}" if equals else _LEFT_OUT
