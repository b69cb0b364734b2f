"""Read pip's configuration files and variables (PIP_*), without pip.

Files are read in this order, and a later one has precedence: those of the system, the user's, that of the prefix, the
one that $PIP_CONFIG_FILE names (/dev/null: no file is read). In a file, the section of the command has precedence over
[global]; variables have precedence over files. See https://pip.pypa.io/en/stable/topics/configuration/.
"""

from __future__ import annotations

import os
import sys

from sage_wheels.errors import UsageError
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TRUE = ("y", "yes", "t", "true", "on", "1")
_FALSE = ("n", "no", "f", "false", "off", "0")


class PipSetting(NamedTuple):
    """The value of an option: the `text` as it is written, and its `origin`, a file or variable, for messages.

    The methods convert it, and raise `UsageError` for an invalid value.
    """

    option: str
    text: str
    origin: str

    def as_flag(self) -> bool:
        """
        >>> PipSetting("yes", "On", "PIP_YES").as_flag()
        True
        """
        if self.text.lower() in _TRUE:
            return True
        if self.text.lower() in _FALSE:
            return False
        raise self._refused("yes or no")

    def as_count(self) -> int:
        """
        >>> PipSetting("quiet", "2", "PIP_QUIET").as_count()
        2
        """
        if self.text.lower() in (*_TRUE, *_FALSE):
            return int(self.as_flag())
        if not self.text.isdecimal():
            raise self._refused("a number, or yes or no")
        return int(self.text)

    def as_number(self) -> float:
        """
        >>> PipSetting("timeout", "1.5", "PIP_TIMEOUT").as_number()
        1.5
        """
        try:
            return float(self.text)
        except ValueError:
            raise self._refused("a number") from None

    def as_choice(self, *choices: str) -> str:
        """
        >>> PipSetting("root-user-action", "ignore", "pip.conf").as_choice("warn", "ignore")
        'ignore'
        """
        if self.text not in choices:
            raise self._refused(" or ".join(choices))
        return self.text

    def _refused(self, possible: str) -> UsageError:
        return UsageError(f"{self.text!r} is no value of {self.option}, in {self.origin}", f"set it to {possible}")


def read(command: str, root: str, environ: Mapping[str, str], *, isolated: bool = False) -> dict[str, PipSetting]:
    """The settings for `command` in the prefix `root`, by the long name of the option without its dashes.

    With `isolated`, variables and the user's files are ignored. Raises `UsageError` for an invalid file.
    """
    found: dict[str, dict[str, PipSetting]] = {"global": {}, command: {}, "": {}}
    for path in _files(root, environ, isolated=isolated):
        if os.path.exists(path):
            for section, setting in _in_file(path):
                if section in found:
                    found[section][setting.option] = setting
    if not isolated:
        for name, text in environ.items():
            if name.startswith("PIP_"):
                option = _option(name.removeprefix("PIP_"))
                found[""][option] = PipSetting(option, text, f"the variable {name}")
    return {name: each for settings in found.values() for name, each in settings.items() if each.text}


def _files(root: str, environ: Mapping[str, str], *, isolated: bool) -> Iterator[str]:
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return
    for directory in _directories_of_the_system(environ):
        yield f"{directory}/pip.conf"
    if not isolated and not (named and os.path.exists(named)):
        home = os.path.expanduser("~")
        yield f"{home}/.pip/pip.conf"
        yield f"{_directory_of_the_user(home, environ)}/pip.conf"
    yield f"{root}/pip.conf"
    if named:
        yield named


def _directories_of_the_system(environ: Mapping[str, str]) -> list[str]:
    if sys.platform == "darwin":
        return ["/Library/Application Support/pip"]
    shared = environ.get("XDG_CONFIG_DIRS", "").strip() or "/etc/xdg"
    return [*(f"{os.path.expanduser(each)}/pip" for each in shared.split(os.pathsep)), "/etc"]


def _directory_of_the_user(home: str, environ: Mapping[str, str]) -> str:
    if sys.platform == "darwin":
        directory = f"{home}/Library/Application Support/pip"
        return directory if os.path.isdir(directory) else f"{home}/.config/pip"
    return f"{environ.get('XDG_CONFIG_HOME', '').strip() or f'{home}/.config'}/pip"


def _in_file(path: str) -> Iterator[tuple[str, PipSetting]]:
    import configparser

    parser = configparser.RawConfigParser()
    parser.optionxform = _option  # type: ignore[method-assign,assignment]  # that is how it is meant to be set
    try:
        parser.read(path)  # in the encoding of the locale, as pip does
    except (configparser.Error, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"pip's configuration file {path} cannot be read ({reason})", "correct it") from error
    for section in parser.sections():
        for option, text in parser.items(section):
            yield section, PipSetting(option, text or "", path)


def _option(name: str) -> str:
    """The normalised name of an option.

    >>> _option("NO_INPUT"), _option("--no-input")
    ('no-input', 'no-input')
    """
    return name.lower().replace("_", "-").removeprefix("--")
