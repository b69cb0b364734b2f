"""Options before and after the command, wrong usage, help, and the prefix that nobody names: real processes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sage_wheels.cli import COMMANDS, main, parser_of, tracing
from sage_wheels.cli.command_line import COMMON
from sage_wheels.errors import UsageError
from support.run import install, names, tool, tool_environment
from support.trees import make_prefix
from support.wheels import make_wheel

VALUES = {"--prefix": ["PREFIX"], "--lock-timeout": ["5"], "--color": ["never"]}
OTHERS = {"--prefix": ["/nowhere"], "--lock-timeout": ["6"], "--color": ["always"]}
# Command lines that do something harmless in a prefix with `one` in it.
HARMLESS = {
    "install": ["--dry-run", "WHEEL"],
    "uninstall": ["absent"],
    "list": [],
    "show": ["one"],
    "files": ["one"],
    "owner": ["PREFIX/lib"],
    "verify": [],
    "restore": ["--all"],
    "recover": [],
}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


@pytest.fixture
def wheel(tmp_path: Path, prefix: Path) -> Path:
    made = make_wheel(tmp_path, "one", "1.0", {"one.py": ""})
    install(prefix, made)
    return made


def test_every_common_option_at_each_place(
    prefix: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir("/")

    def said(*words: str) -> tuple[int, str, str]:
        status = main([word.replace("PREFIX", str(prefix)).replace("WHEEL", str(wheel)) for word in words])
        out, err = capfd.readouterr()
        return status, out, re.sub(r"\[ *\d+ ms\] ", "", err)

    tried = 0
    for command, rest in HARMLESS.items():
        has = parser_of(command).option
        for option in COMMON:
            given = [option, *VALUES.get(option, [])]
            where = [] if option == "--prefix" else ["--prefix", "PREFIX"]
            before = said(*given, command, *where, *rest)
            after = said(command, *given, *where, *rest)
            known = "-v" if option == "-vv" else option
            if not has(known):
                assert (before[0], after[0]) == (2, 2), (command, option)
                assert f"sage-wheels {command} has no option {known}; " in before[2]
                continue
            tried += 1
            assert before[0] == after[0] == 0, (command, option, before, after)
            assert before == after
            both = said(*given, command, *given, *where, *rest)
            assert both[0] == 0, (command, option, both)
    tracing.listen(0)
    assert tried >= 30


@pytest.mark.parametrize("option", OTHERS)
def test_different_values_at_both_places_are_an_error(prefix: Path, option: str) -> None:
    where = [] if option == "--prefix" else ["--prefix", str(prefix)]
    first = [each.replace("PREFIX", str(prefix)) for each in VALUES[option]]
    done = tool(option, *first, "recover", *where, option, *OTHERS[option])
    assert done.returncode == 2
    assert f"sage-wheels: error: {option} is given as both " in done.stderr


def test_what_stands_behind_pips_command_is_pips(prefix: Path, wheel: Path, tmp_path: Path) -> None:
    words: list[str | Path] = ["--no-index", "--no-deps", "--ignore-installed", "--prefix", tmp_path / "other", wheel]
    make = tool("pip", "--prefix", prefix, "install", *words)
    assert make.returncode == 0, make.stderr
    assert list(tmp_path.glob("other/lib/python3*/site-packages/one.py"))
    before = tool("--prefix", prefix, "pip", "list", "--format", "json")
    assert "one" in [each["name"] for each in json.loads(before.stdout)]
    later = tool("--lock-timeout", "5", "pip", "--prefix", prefix, "list", "--lock-timeout", "6")
    assert (later.returncode, later.stdout) == (2, "")


def test_a_venv_here_or_above_is_found_and_said(tmp_path: Path, wheel: Path) -> None:
    project = tmp_path / "home" / "project"
    (project / "src/deep").mkdir(parents=True)
    env = tool_environment(HOME=str(tmp_path / "home"))
    venv = make_prefix(project, ".venv")
    listed = tool("list", cwd=project / "src/deep", env=env)
    said = f"sage-wheels: the prefix is {venv}, because no other is named\n"
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", said)

    refused = tool("install", wheel, cwd=project / "src/deep", env=env)
    assert refused.returncode == 2
    assert f"no prefix is named, and {venv} is not beside the nearest pyproject.toml" in refused.stderr
    assert refused.stderr.endswith(f"; give --prefix {venv}\n")
    (project / "pyproject.toml").touch()
    done = tool("install", wheel, cwd=project / "src/deep", env=env)
    assert done.returncode == 0
    assert done.stderr.startswith(said)
    assert names(venv) == ["one 1.0"]
    (project / "src/pyproject.toml").touch()
    assert tool("uninstall", "one", cwd=project / "src/deep", env=env).returncode == 2
    assert names(venv) == ["one 1.0"]


@pytest.mark.parametrize("variable", ["SAGE_VENV", "VIRTUAL_ENV"])
def test_variables_come_before_a_venv(tmp_path: Path, prefix: Path, variable: str) -> None:
    make_prefix(tmp_path, ".venv")
    done = tool("list", cwd=tmp_path, env=tool_environment(**{variable: str(prefix)}))
    assert (done.returncode, done.stderr) == (0, "")


def test_nothing_above_home_is_found(tmp_path: Path, wheel: Path) -> None:
    make_prefix(tmp_path, ".venv")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "home/project").mkdir(parents=True)
    env = tool_environment(HOME=str(tmp_path / "home"))
    for command in (["list"], ["install", str(wheel)], ["pip", "list"]):
        done = tool(*command, cwd=tmp_path / "home/project", env=env)
        assert done.returncode == 2, command
        assert "no prefix is named" in done.stderr
    make_prefix(tmp_path / "home", ".venv")
    assert tool("list", cwd=tmp_path / "home/project", env=env).returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("install -U", "sage-wheels install has no option -U; pip has: sage-wheels pip install -U"),
        (
            "install --upgrade x",
            "sage-wheels install has no option --upgrade; pip has: sage-wheels pip install --upgrade",
        ),
        ("install --force-reinstall x", "has no option --force-reinstall; what pip means by that is here: --reinstall"),
        ("install --reinstal x", "has no option --reinstal; did you mean --reinstall?"),
        ("install", "ITEM is missing; see 'sage-wheels install --help'"),
        ("cache", "one of info, gc, clear, explain, keygen is missing; see 'sage-wheels cache --help'"),
        ("list a --xyzzy", "sage-wheels list has no option --xyzzy; see 'sage-wheels list --help'"),
        ("list --outdated", "sage-wheels list has no option --outdated; pip has: sage-wheels pip list --outdated"),
        ("", "no command is given; see 'sage-wheels --help'"),
        ("-x list", "sage-wheels has no option -x before the command; see 'sage-wheels --help'"),
        ("--prefix", "--prefix needs a value"),
        ("help instal", "there is no command 'instal'; did you mean install?"),
        ("wheel .", "there is no command 'wheel'; pip has: sage-wheels pip wheel"),
        ("install --on-conflict maybe x", "invalid choice: 'maybe'"),
    ],
)
def test_the_reason_comes_first_in_one_line(words: str, said: str) -> None:
    done = tool(*words.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sage-wheels: error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "option", ["--prefix", "--destdir", "--find-links", "-r", "--cache-dir", "--python", "--editable"]
)
def test_an_empty_path_is_refused(prefix: Path, wheel: Path, option: str) -> None:
    """It is that of a variable that is not set; another prefix must not be changed instead, nor a live one."""
    there = names(prefix)
    for words in ([option, ""], [f"{option}="]) if option.startswith("--") else [[option, ""]]:
        done = tool("install", *words, wheel, env=tool_environment(VIRTUAL_ENV=str(prefix)))
        assert done.returncode == 2
        assert "the path is empty" in done.stderr
        assert names(prefix) == there


def test_a_name_that_is_not_installed_is_compared_with_those_that_are(prefix: Path, wheel: Path) -> None:
    tool("install", wheel, "--prefix", prefix)
    for command in ("list", "uninstall"):
        assert " (did you mean one?)\n" in tool(command, "onee", "--prefix", prefix).stderr


def test_a_directory_without_a_separator_is_proposed_with_one(prefix: Path, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    env = tool_environment(PIP_NO_INDEX="1", PIP_CONFIG_FILE="/dev/null")
    done = tool("install", "--prefix", prefix, "tree", cwd=tmp_path, env=env)
    assert done.returncode == 1
    first = "sage-wheels: error: pip could not download tree; for the directory of that name, write ./tree\n"
    assert done.stderr.startswith(first)


def test_errors_are_json_with_json(prefix: Path) -> None:
    for words, kind, status in (
        (["show", "--json", "absent"], "NotThere", 1),
        (["--json", "show"], "UsageError", 2),
        (["files", "--json", "--no-such"], "UsageError", 2),
    ):
        done = tool("--prefix", prefix, *words)
        assert done.returncode == status
        error = json.loads(done.stdout)["error"]
        assert (error["kind"], error["status"]) == (kind, status)
        assert error["what"] in done.stderr


@pytest.mark.parametrize(
    ("words", "several"),
    [
        ("install a --no-compile b -q c", "items"),
        ("install a b -e t c", "items"),
        ("build a b -w w c", "sources"),
        ("uninstall a -q b c", "names"),
        ("show a b --json c", "names"),
        ("list a --json b --prefix p c", "names"),
        ("verify --prefix p a b --json c", "names"),
    ],
)
def test_options_may_stand_between_arguments(words: str, several: str) -> None:
    """As with pip."""
    command, *rest = words.split()
    assert getattr(parser_of(command).parse_all(rest), several) == ["a", "b", "c"]


@pytest.mark.parametrize("words", ["files one --json two", "recover -q one", "install a -q --bogus b"])
def test_nothing_else_stands_between_them(words: str) -> None:
    command, *rest = words.split()
    with pytest.raises(UsageError, match=r"takes no argument|has no option --bogus"):
        parser_of(command).parse_all(rest)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_help_is_wrapped_to_the_terminal_and_has_examples(width: int) -> None:
    env = tool_environment(COLUMNS=str(width))
    for command in COMMANDS:
        shown = tool("help", command, env=env)
        assert shown.stdout == tool(command, "--help", env=env).stdout
        assert "examples:\n" in shown.stdout, command
        prose = [line for line in shown.stdout.splitlines() if not line.startswith(("    ", "  -", "usage: "))]
        longest = [line for line in prose if len(line) > width and " " in line.strip()]
        assert longest == [], command
    assert max(map(len, tool("--help", env=env).stdout.splitlines())) <= max(width, 51)


def test_help_has_no_colours_of_argparse(prefix: Path) -> None:
    """Python 3.14 and later colour it, even in a file where FORCE_COLOR is set; ours is the same with each Python."""
    env = tool_environment(FORCE_COLOR="1")
    of_pip = ["pip", "--prefix", str(prefix), "uninstall", "--help"]
    for words in (["install", "--help"], ["help", "list"], of_pip):
        shown = tool(*words, env=env).stdout
        assert shown.startswith("usage: sage-wheels "), words
        assert "\033" not in shown, words


def test_the_examples_are_understood() -> None:
    """Each example is parsed by the parser that it is the example of."""
    for command in COMMANDS:
        text = parser_of(command).epilog or ""
        for line in text.splitlines()[1:]:
            words = line.replace("'", "").split()
            assert words[:2] == ["sage-wheels", command], line
            if command != "pip":
                parser_of(command).parse_all(words[2:])


def test_verbose_version_is_what_a_bug_report_needs(prefix: Path) -> None:
    facts = json.loads(tool("--prefix", prefix, "--version", "--verbose", "--json").stdout)
    assert str(prefix) in facts["prefix"]
    assert facts.keys() >= {"sage-wheels", "commit", "source", "system", "python", "packaging", "cache"}
    text = tool("--version", "--verbose").stdout
    assert "prefix: none: no prefix is named" in text
    assert f"source: {facts['source']}\n" in text


def test_a_directory_that_is_gone(tmp_path: Path, prefix: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    program = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m sage_wheels list"
    done = subprocess.run(["sh", "-c", program], env=tool_environment(), capture_output=True, text=True)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
