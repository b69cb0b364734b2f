from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sage_wheels.building.backend.variables import SOURCE_DATE_EPOCH, for_build, keyed

MAKE = shutil.which("make")


def test_what_a_compiler_needs_passes() -> None:
    environ = dict.fromkeys(("CC", "CFLAGS", "LDFLAGS", "CPATH", "PKG_CONFIG_PATH", "MAKE", "LANG", "PATH"), "x")
    assert environ.items() <= for_build(environ).environ.items()


@pytest.mark.parametrize(
    "name",
    [
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PYTHONWARNINGS",
        "PIP_INDEX_URL",
        "PIP_CONSTRAINT",
        "PIP_FIND_LINKS",
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
    ],
)
def test_the_callers_python_and_pip_do_not_leak_in(name: str) -> None:
    assert name not in for_build({name: "x"}).environ


@pytest.mark.parametrize(
    "names",
    [
        "PGPASSWORD MYSQL_PWD DB_PASS GH_PAT SSHPASS DOCKER_AUTH_CONFIG DEPLOY_KEY npm_config__auth my_token "
        "OPENAI_KEY SMTP_PASSWD2 REDISCLI_AUTH SENTRY_DSN DATABASE_URL TWINE_USERNAME signing_keys KUBECONFIG",
        "EXECUTOR_NUMBER NODE_NAME STAGE_NAME WORKSPACE RUN_DISPLAY_URL RUN_CHANGES_DISPLAY_URL BRANCH_NAME CHANGE_ID "
        "GIT_COMMIT GIT_PREVIOUS_SUCCESSFUL_COMMIT GIT_LOCAL_BRANCH BUILD_ID JOB_BASE_NAME",
        "BUILD_BUILDID BUILD_SOURCEVERSION BUILD_REQUESTEDFOREMAIL SYSTEM_JOBID SYSTEM_ACCESSTOKEN PIPELINE_WORKSPACE",
        "CIRRUS_TASK_ID BITRISE_BUILD_NUMBER ImageVersion SLURM_JOB_ID PBS_JOBID",
        "VSCODE_IPC_HOOK_CLI KITTY_PID WSL_INTEROP TERMINAL_EMULATOR SECURITYSESSIONID I3SOCK ICEAUTHORITY",
    ],
    ids=["secrets", "Jenkins", "Azure", "other jobs", "terminals"],
)
def test_a_session_a_job_and_secrets_do_not_leak_in(names: str) -> None:
    """They differ each time, so the store would never have what was built; or no build is to see them."""
    given = dict.fromkeys(names.split(), "x")
    assert not given.keys() & for_build(given).environ.keys()


def test_what_only_looks_like_them_passes() -> None:
    names = "BUILD_TYPE BUILD_SHARED_LIBS CMAKE_BUILD_TYPE SYSTEM_VERSION_COMPAT GIT_AUTHOR_NAME CIBUILDWHEEL BYPASS"
    names += " NODE_PATH MONKEY TOKENIZER COMPAT KEYBOARD AUTHOR RUN_TESTS CHANGES XAUTH WTF JOBS"
    assert dict.fromkeys(names.split(), "x").items() <= for_build(dict.fromkeys(names.split(), "x")).environ.items()


@pytest.mark.parametrize("name", ["PYTHONNOUSERSITE", "PYTHONSAFEPATH"])
def test_what_keeps_something_out_is_not_taken_away(name: str) -> None:
    assert for_build({name: "yes"}).environ[name] == "yes"


@pytest.mark.parametrize("given", [{}, {"PYTHONNOUSERSITE": ""}], ids=["unset", "empty"])
def test_the_users_own_site_directory_is_never_seen(given: dict[str, str]) -> None:
    assert for_build(given).environ["PYTHONNOUSERSITE"] == "1"


def test_pip_reads_no_configuration() -> None:
    assert for_build({"PIP_CONFIG_FILE": "/mine"}).environ["PIP_CONFIG_FILE"] == os.devnull


def test_what_is_not_settled_is_settled() -> None:
    environ = for_build({}).environ
    assert environ["SOURCE_DATE_EPOCH"] == SOURCE_DATE_EPOCH
    assert environ["PYTHONHASHSEED"] == "0"
    assert environ["LC_ALL"] == "C.UTF-8"


def test_what_the_caller_settled_stays() -> None:
    given = {"SOURCE_DATE_EPOCH": "1", "PYTHONHASHSEED": "7", "LANG": "de_DE.UTF-8"}
    environ = for_build(given).environ
    assert given.items() <= environ.items()
    assert "LC_ALL" not in environ


def flags(value: str) -> dict[str, str]:
    return {"MAKEFLAGS": value, "MFLAGS": value}


def test_a_jobserver_is_passed_on() -> None:
    reader, writer = os.pipe()
    try:
        value = f" -j2 --jobserver-auth={reader},{writer} -- X=1"
        variables = for_build(flags(value))
        assert variables.descriptors == (reader, writer)
        assert variables.environ["MAKEFLAGS"] == value
    finally:
        os.close(reader)
        os.close(writer)


def test_descriptors_that_are_a_log_file_are_no_jobserver(tmp_path: Path) -> None:
    with open(tmp_path / "log", "w") as log:
        variables = for_build(flags(f" -j2 --jobserver-auth={log.fileno()},{log.fileno()} -- X=1"))
    assert variables.descriptors == ()
    assert variables.environ["MAKEFLAGS"] == variables.environ["MFLAGS"] == " -j2 -- X=1"


def test_two_different_pipes_are_no_jobserver() -> None:
    descriptors = [*os.pipe(), *os.pipe()]
    try:
        assert for_build(flags(f"--jobserver-fds={descriptors[0]},{descriptors[3]}")).descriptors == ()
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def test_the_ends_of_the_pipe_must_be_the_right_way_round() -> None:
    reader, writer = os.pipe()
    try:
        assert for_build(flags(f"--jobserver-auth={writer},{reader}")).descriptors == ()
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("announced", ["998,999", "-2,-2", "nonsense", "fifo:/nowhere"])
def test_what_is_not_open_is_no_jobserver(announced: str) -> None:
    variables = for_build({"MAKEFLAGS": f" -j --jobserver-auth={announced}"})
    assert variables.descriptors == ()
    assert variables.environ["MAKEFLAGS"] == " -j"


def test_a_named_jobserver(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    fifo, file = (f"--jobserver-auth=fifo:{tmp_path / name}" for name in ("fifo", "file"))
    assert for_build({"MAKEFLAGS": fifo}).environ["MAKEFLAGS"] == fifo
    assert for_build({"MAKEFLAGS": file}).environ["MAKEFLAGS"] == ""


def flags_of_make(directory: Path, *options: str) -> dict[str, str]:
    """The variables that a make with these options gives to what it starts."""
    assert MAKE
    (directory / "Makefile").write_text("all: ; +@env | grep -E '^(MAKE|M)FLAGS=' >told")
    subprocess.run([MAKE, *options], cwd=directory, env={"PATH": os.environ["PATH"]}, check=True, capture_output=True)
    return dict(line.split("=", 1) for line in (directory / "told").read_text().splitlines())


@pytest.mark.skipif(MAKE is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("options", "like"),
    [
        (["-k", "-s", "-w", "-j2", "-l9", "-Oline", "--trace", "--debug=b", "--no-print-directory", "-p", "-S"], []),
        (["-kj", "--warn-undefined-variables", "X=a -k b"], ["X=a -k b"]),
        (["-kBj3", "-I/x"], ["-I/x", "-B"]),
    ],
)
def test_options_of_make_that_no_file_depends_on(tmp_path: Path, options: list[str], like: list[str]) -> None:
    """`make -k -j4` finds what `make` has built."""
    assert keyed(flags_of_make(tmp_path, *options), {}) == keyed(flags_of_make(tmp_path, *like), {})


@pytest.mark.skipif(MAKE is None, reason="make is not installed")
@pytest.mark.parametrize("option", ["-B", "-e", "-i", "-n", "-r", "-t", "X=1", "-I/x", "X=-k"])
def test_options_of_make_that_files_depend_on(tmp_path: Path, option: str) -> None:
    """With -n and -t, for example, a make that the backend starts compiles nothing."""
    plain = keyed(flags_of_make(tmp_path), {})
    found = keyed(flags_of_make(tmp_path, option), {})
    assert found != plain
    assert keyed(flags_of_make(tmp_path, option, "-k", "-j3"), {}) == found


@pytest.mark.parametrize(
    "flags", ["-j 4", "j4", "kj4", "--jobs 4 -k", "--jobs=3", "-l 2.5 -s", "-j", "--load-average 2"]
)
def test_flags_of_make_that_a_user_has_written(flags: str) -> None:
    assert keyed({"MAKEFLAGS": flags}, {}) == {}
    assert keyed({"MAKEFLAGS": f"{flags} CC=x"}, {}) == {"MAKEFLAGS": "CC=x"}
