"""What may be written down of a command line and of URLs: nothing that could be a secret.

The command line of who changed what stands in files that last. Left out are what stands before the host and behind
the path of a URL, the values of options that say where packages come from, or that hand something on to a backend or
a server, and of variables. Rather too much is left out than too little.
"""

from __future__ import annotations

import re

# Compiled when there is a URL.
_URL = r"\b([A-Za-z][A-Za-z0-9+.-]*://)([^/@\s]*@)?([^\s?]*)(\?[^\s#]*)?"
_LEFT_OUT = "..."
# Options whose value is left out; pip's may be abbreviated, so whatever begins one of these is one.
_VALUES = (
    *("--index-url", "--pypi-url", "--extra-index-url", "--find-links", "--trusted-host", "--proxy", "--client-cert"),
    *("--keyring-provider", "--global-option", "--build-option", "--install-option", "--token", "--password"),
)
# Options of the form KEY=VALUE, of which KEY says enough.
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
    """The rest of a URL without another `@` in front of its host, as in a password that was not quoted."""
    host, slash, path = rest.partition("/")
    return host.rpartition("@")[2] + slash + path


def _kind(option: str) -> str:
    """ "value" or "pair" if a value that may be secret follows `option`, "url" if it is that of pip; else ""."""
    if option == "--index":  # ours has no value; pip's is short for --index-url
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
