"""`sage-wheels pip uninstall` obeys pip's configuration files and variables as pip does."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.errors import UsageError
from sage_wheels.pip import settings
from support.pythons import make_installation
from support.run import install, names
from support.trees import snapshot
from support.twins import Twins, end, environment, our_command, start
from support.wheels import make_wheel

Put = Callable[..., None]

FILES = {  # relative to the directory of a prefix, in the order in which they are read
    "system": "xdg/pip/pip.conf",
    "legacy": "home/.pip/pip.conf",
    "user": "home/.config/pip/pip.conf",
    "site": "env/pip.conf",
    "named": "named.conf",
}


def write(directory: Path, files: dict[str, str]) -> None:
    for which, text in files.items():
        path = directory / FILES[which]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("texts", "variables", "line", "goes"),
    [
        ({"system": "[global]\nyes = true\n"}, {}, "", True),
        ({"legacy": "[uninstall]\nyes = 1\n"}, {}, "", True),
        ({"user": "[uninstall]\nyes = on\n"}, {}, "", True),
        ({"site": "[uninstall]\n--yes = YES\n"}, {}, "", True),
        ({"named": "[uninstall]\nyes: t\n"}, {}, "", True),
        ({"site": "[install]\nyes = true\n[list]\nyes = true\n"}, {}, "", False),
        ({"site": "[uninstall]\nyes = true\n", "named": "[uninstall]\nyes = false\n"}, {}, "", False),
        ({"user": "[uninstall]\nyes = true\n", "site": "[uninstall]\nyes = no\n"}, {}, "", False),
        ({"system": "[uninstall]\nyes = true\n", "user": "[uninstall]\nyes = no\n"}, {}, "", False),
        ({"system": "[uninstall]\nyes = true\n", "site": "[global]\nyes = no\n"}, {}, "", True),
        ({"site": "[global]\nyes = true\n[uninstall]\nyes =\n"}, {}, "", True),
        ({"site": "[uninstall]\nyes = true\n"}, {"PIP_YES": "0"}, "", False),
        ({"site": "[uninstall]\nyes = true\n"}, {"PIP_YES": ""}, "", True),
        ({"site": "[uninstall]\nyes = false\n"}, {"PIP_YES": "y"}, "", True),
        ({"site": "[uninstall]\nyes = false\n"}, {}, "-y", True),
        ({}, {"PIP_YES": "true"}, "--isolated", False),
        ({"user": "[uninstall]\nyes = true\n"}, {}, "--isolated", False),
        ({"site": "[uninstall]\nyes = true\n"}, {}, "--isolated", True),
        ({"user": "[uninstall]\nyes = true\n", "named": ""}, {}, "", False),
        ({"site": "[uninstall]\nyes = true\n"}, {"PIP_CONFIG_FILE": "/dev/null"}, "", False),
        ({"site": "[uninstall]\nyes = true\nrequirement = {directory}/r.txt\n"}, {}, "", True),
        ({"site": "[global]\nyes = true\nno-such-option = x\ntimeout = 3\nindex-url = x\n"}, {}, "", True),
        ({"site": "[global]\nno-input = true\nyes = true\nquiet = 2\n"}, {}, "", True),
    ],
)
def test_as_pip(
    twins: Twins, put: Put, texts: dict[str, str], variables: dict[str, str], line: str, goes: bool
) -> None:
    for each in twins.both:
        put(each, "lib 2.0", "plain 1.0")
        directory = each.parent
        (directory / "r.txt").write_text("plain\n")
        write(directory, {which: text.replace("{directory}", str(directory)) for which, text in texts.items()})
    more = {
        "XDG_CONFIG_DIRS": "{prefix}/../xdg",
        "PIP_CONFIG_FILE": "{prefix}/../named.conf" if "named" in texts else "",
        **variables,
    }
    theirs, own = twins.run("uninstall", *line.split(), "lib", variables=more, answers="n\n" * 3)
    assert own.returncode == theirs.returncode == 0, (own.stderr, theirs.stderr)
    assert names(twins.ours) == names(twins.pips)
    assert ("lib 2.0" not in names(twins.ours)) == goes


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("[uninstall]\nyes = perhaps\n", "yes"),
        ("[global]\nquiet = very\n", "quiet"),
        ("[global]\nquiet = -1\n", "quiet"),
        ("[global]\nno-input = 2\n", "no-input"),
        ("[global]\nrequire-virtualenv = x\n", "require-virtualenv"),
        ("[global]\nno-color = x\n", "no-color"),
        ("[global]\ntimeout = soon\n", "timeout"),
        ("[uninstall]\nroot-user-action = x\n", "root-user-action"),
        ("[uninstall\nyes = true\n", "pip.conf"),
        ("yes = true\n", "pip.conf"),
    ],
)
def test_what_makes_no_sense(twins: Twins, put: Put, text: str, option: str) -> None:
    for each in twins.both:
        put(each, "lib 2.0")
        (each / "pip.conf").write_text(text)
    before = snapshot(twins.ours)
    theirs, own = twins.run("uninstall", "-y", "lib", variables={"PIP_CONFIG_FILE": ""})
    assert theirs.returncode > 1
    assert own.returncode == 2
    assert option in own.stderr
    assert str(twins.ours / "pip.conf") in own.stderr
    assert own.stderr.count("\n") == 1
    assert snapshot(twins.ours) == before


def test_a_variable_that_makes_no_sense(prefix: Path, home: Path, put: Put) -> None:
    put(prefix, "lib 2.0")
    done = end(start(our_command(prefix, "uninstall", "-y", "lib"), environment(home, PIP_YES="maybe")))
    assert done.returncode == 2
    assert "'maybe' is no value of yes, in the variable PIP_YES; set it to yes or no" in done.stderr


@pytest.mark.parametrize("option", ["--timeout=soon", "--default-timeout=1,5", "--retries=1.5"])
def test_an_option_that_makes_no_sense(twins: Twins, put: Put, option: str) -> None:
    for each in twins.both:
        put(each, "lib 2.0")
    before = snapshot(twins.ours)
    theirs, own = twins.run("uninstall", "-y", option, "lib")
    assert theirs.returncode == own.returncode == 2
    assert option.partition("=")[0] in own.stderr
    assert snapshot(twins.ours) == before


STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d,\d{3} ")


@pytest.mark.parametrize(
    ("line", "variables", "text"),
    [
        ("--log {log}", {}, ""),
        ("--log-file={log}", {}, ""),
        ("--local-log {log} -qq", {}, ""),
        ("", {"PIP_LOG": "{log}"}, ""),
        ("", {}, "[global]\nlog = {log}\n"),
    ],
)
def test_the_log(
    prefix: Path, home: Path, put: Put, tmp_path: Path, line: str, variables: dict[str, str], text: str
) -> None:
    put(prefix, "lib 2.0", "plain 1.0")
    log = tmp_path / "new" / "of uninstall.log"
    (prefix / "pip.conf").write_text(text.replace("{log}", str(log)))
    words = [each.replace("{log}", str(log)) for each in line.split()]
    env = environment(home, PIP_CONFIG_FILE="", **{k: v.replace("{log}", str(log)) for k, v in variables.items()})
    for name in ("lib", "no-such-thing", "plain"):
        done = end(start(our_command(prefix, "uninstall", *words, "-y", name), env))
        assert done.returncode == 0, done.stderr
    kept = log.read_text().splitlines()
    assert all(STAMP.match(each) for each in kept)
    said = [STAMP.sub("", each) for each in kept]
    assert "Found existing installation: lib 2.0" in said
    assert "WARNING: Skipping no-such-thing as it is not installed." in said
    assert said[-1] == "  Successfully uninstalled plain-1.0"


def test_what_goes_wrong_is_in_the_log(prefix: Path, home: Path, put: Put, tmp_path: Path) -> None:
    put(prefix, "lib 2.0")
    log = tmp_path / "log"
    done = end(start(our_command(prefix, "--log", log, "uninstall", "lib"), environment(home)))
    assert done.returncode == 2
    assert "ERROR: nobody answers whether lib may be removed" in log.read_text()


def test_a_log_that_cannot_be_written(prefix: Path, home: Path, put: Put, tmp_path: Path) -> None:
    put(prefix, "lib 2.0")
    done = end(start(our_command(prefix, "uninstall", "-y", "--log", tmp_path, "lib"), environment(home)))
    assert done.returncode == 1
    assert done.stderr.startswith("sage-wheels: error: opening the log failed")
    assert "lib 2.0" in names(prefix)


@pytest.mark.parametrize(
    ("line", "variables"),
    [
        ("--require-virtualenv uninstall", {}),
        ("uninstall --require-venv", {}),
        ("uninstall", {"PIP_REQUIRE_VIRTUALENV": "true"}),
    ],
)
def test_a_virtual_environment_is_required(
    tmp_path: Path, prefix: Path, home: Path, put: Put, line: str, variables: dict[str, str]
) -> None:
    """pip's own exit status for that is 3."""
    root = tmp_path / "whole"
    make_installation(root)
    for each, status in ((root, 3), (prefix, 0)):
        put(each, "plain 1.0")
        done = end(start(our_command(each, *line.split(), "-y", "plain"), environment(home, **variables)))
        assert done.returncode == status, done.stderr
        assert ("plain 1.0" in names(each)) == bool(status)
        assert done.stderr == ("ERROR: Could not find an activated virtualenv (required).\n" if status else "")


def test_verbose_takes_back_quiet(twins: Twins, put: Put) -> None:
    for each in twins.both:
        put(each, "lib 2.0")
    theirs, own = twins.run("uninstall", "-q", "-v", "-y", "lib")
    assert own.returncode == theirs.returncode == 0
    assert "Successfully uninstalled lib-2.0" in own.stdout
    assert "Successfully uninstalled lib-2.0" in theirs.stdout


def test_where_the_files_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS as well, where this cannot be seen."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("sys.platform", "darwin")
    write(tmp_path, {"user": "[global]\nlog = config\n"})
    assert settings.read("uninstall", str(tmp_path / "env"), {})["log"].text == "config"
    library = tmp_path / "home/Library/Application Support/pip"
    library.mkdir(parents=True)
    assert settings.read("uninstall", str(tmp_path / "env"), {}) == {}
    (library / "pip.conf").write_bytes(b"[global]\nlog = \xff\xfe\n")
    with pytest.raises(UsageError, match=r"pip\.conf cannot be read"):
        settings.read("uninstall", str(tmp_path / "env"), {})


def test_the_installer_is_named_where_there_is_no_record(prefix: Path, home: Path, tmp_path: Path) -> None:
    """And no option is advised that pip does not know."""
    install(prefix, make_wheel(tmp_path, "own", "1.0", {"own.py": ""}))
    [info] = prefix.glob("lib/python*/site-packages/own-1.0.dist-info")
    (info / "RECORD").unlink()
    before = snapshot(prefix)
    for installer in ("Package Works\nof the House", "conda", "pip", "sage-wheels", ""):
        (info / "INSTALLER").write_text(installer)
        done = end(start(our_command(prefix, "uninstall", "-y", "own"), environment(home)))
        assert done.returncode == 1
        foreign = f"see whether {' '.join(installer.split())!r}, which installed it, can uninstall it\n"
        again = f"sage-wheels install --reinstall own==1.0 --prefix {prefix}"
        ours = f"run '{again}', which makes a new one, and try again\n"
        assert done.stderr.endswith(ours if installer in ("", "pip", "sage-wheels") else foreign)
        assert snapshot(prefix).keys() == before.keys()
