"""Find the distributions that `sage-wheels pip uninstall` removes: the same that pip finds, without running pip.

So a broken package can be removed, too. `cli.pip_uninstall` is the command.
"""

from __future__ import annotations

from sage_wheels.named import NamedTuple
from sage_wheels.pip.arguments import FLAGS, NUMBERS, OF_LOG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sage_wheels.installed import Distribution
    from sage_wheels.manifests.entries import ManifestEntry
    from sage_wheels.pip.settings import PipSetting
    from sage_wheels.prefix import Prefix


class SearchResult(NamedTuple):
    """The result of the search, each in the order of the arguments; names are not normalised.

    These are: the distributions in the prefix, and those of them that a package has installed; the names that pip finds
    in the user's site directory first; those outside the prefix, with their directory; and the names that were not
    found.
    """

    there: list[Distribution]
    brought: list[tuple[Distribution, ManifestEntry]]
    users: list[str]
    outside: list[tuple[Distribution, str]]
    missing: list[str]


def find(prefix: Prefix, wanted: Mapping[str, str], brought: Mapping[str, ManifestEntry]) -> SearchResult:
    """Search for the distributions `wanted` (names as given, by normalised name). Raises `FileOperationFailed`.

    `brought` are the entries of all packages (`manifests.entries`).
    """
    from sage_wheels.installed import find_all
    from sage_wheels.pip.decision import brought_by_packages
    from sage_wheels.pip.elsewhere import find_elsewhere

    order = list(wanted)
    there = [each for each in find_all(prefix) if each.canonical_name in wanted]
    there.sort(key=lambda each: order.index(each.canonical_name))
    elsewhere = find_elsewhere(prefix, order, {each.canonical_name for each in there})
    there = [each for each in there if each.canonical_name not in elsewhere.users]
    known = {*elsewhere.users, *elsewhere.outside, *(each.canonical_name for each in there)}
    return SearchResult(
        there,
        brought_by_packages(wanted, brought, there),
        [wanted[name] for name in order if name in elsewhere.users],
        list(elsewhere.outside.values()),
        [wanted[name] for name in order if name not in known],
    )


def remove_users(prefix: Prefix, names: list[str], flags: list[str], *, break_system_packages: bool) -> int:
    """Let pip itself uninstall `names` from the user's site directory; returns its exit status."""
    if not names:
        return 0
    from sage_wheels.pip import process

    # a variable, because old pips do not know the option
    variables = {"PIP_BREAK_SYSTEM_PACKAGES": "1"} if break_system_packages else {}
    return process.run_unchanged(prefix, ["uninstall", *flags, *names], **variables)


def values_of(settings: Mapping[str, PipSetting]) -> dict[str, Any]:
    """The values that `settings` give to options of `uninstall`, by the long name with underscores.

    Settings that have no effect here are validated as pip does. Raises `UsageError` for an invalid value.
    """
    found: dict[str, Any] = {}
    for option, setting in settings.items():
        if option == "requirement":
            found["requirement"] = setting.text.split()
        elif option in ("quiet", "verbose"):
            found[option] = setting.as_count()
        elif f"--{option}" in OF_LOG:
            found["log"] = setting.text
        elif option in ("require-virtualenv", "require-venv"):
            found["require_virtualenv"] = setting.as_flag()
        elif option in ("yes", "no-input", "break-system-packages"):
            found[option.replace("-", "_")] = setting.as_flag()
        elif f"--{option}" in FLAGS:
            setting.as_flag()
        elif f"--{option}" in NUMBERS:
            setting.as_number()
        elif option == "root-user-action":
            setting.as_choice("warn", "ignore")
    return found
