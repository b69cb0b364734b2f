"""The environment variables of a build backend, and the descriptors that they name.

The variables of the caller are passed (compilers, flags, pkg-config, make, locale, PATH), with these exceptions: those
that would let the caller's Python or pip's configuration into the build, and those about the session, a CI job or
secrets. Variables that keep something out of the build are passed, too. Some others are set if the caller has not set
them, so that the same input gives the same wheel, if the backend supports that. The user's own site directory is never
used: a build must not depend on the home directory.

A variable that is passed is part of the key under which the store has the wheel (`keyed`), with few exceptions: the
home, the directory for temporary files, the terminal, the network, compiler caches, the jobserver, and the number of
jobs. None of these may change a wheel. So the tables below say of each variable whether it is taken out, passed only,
or passed and part of the key.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from typing import NamedTuple

from sage_wheels.building.git_variables import OF_ONE_REPOSITORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# 2020-02-02, the date that hatchling uses, too: after 1980, because zip files cannot have earlier times
SOURCE_DATE_EPOCH = "1580601600"
UMASK = 0o022

# Private names of `pyproject_hooks`, since 1.1: the variables with the name of the backend and its path, and the file
# with the answer of a hook. tests/building/test_private_names.py fails when they change.
_OF_HOOKS = "_PYPROJECT_HOOKS_"
BUILD_BACKEND = f"{_OF_HOOKS}BUILD_BACKEND"
BACKEND_PATH = f"{_OF_HOOKS}BACKEND_PATH"  # the beginning of the name; newer versions append _JSON
HOOK_ANSWER = "output.json"

# Whole names, joined by `|`. A variable in none of the tables is passed, and part of the key.
_TAKEN_OUT = (
    # the caller's Python, pip and uv
    r"PIP_.*|UV_.*|PYTHON(?!_).*|__PYVENV_LAUNCHER__|VIRTUAL_ENV(_PROMPT)?|" + _OF_HOOKS + ".*",
    # the session: user, host, shell, screen
    r"_|SHLVL|PWD|OLDPWD|SHELL|USER|LOGNAME|USERNAME|MAIL|EMAIL|HOSTNAME|SUDO_.*|SSH_.*|GPG_.*|DBUS_.*|DISPLAY",
    r"XAUTHORITY|WAYLAND_.*|DESKTOP_.*|GNOME_.*|KDE_.*|GDM.*|SESSION_.*|WINDOW(ID|PATH)|STY|TMUX.*|VTE_.*|ITERM_.*",
    r"TERM_.*|COLORTERM|COLUMNS|LINES|LS_?COLORS|CLICOLOR.*|PAGER|LESS.*|MANPAGER|EDITOR|VISUAL|PS[0-4]|PROMPT.*|HIST(FILE|SIZE|CONTROL|IGNORE)",
    r"TERMINAL_.*|VSCODE_.*|KITTY_.*|ALACRITTY_.*|WEZTERM_.*|KONSOLE_.*|GHOSTTY_.*|TILIX_ID|WT_.*|WSL.*|ZELLIJ.*|NVIM.*",
    r"INSIDE_EMACS|VIM(RUNTIME)?|I3SOCK|SWAYSOCK|HYPRLAND_.*|ICEAUTHORITY|AT_SPI_.*|SECURITYSESSIONID|XPC_.*|__CF.*",
    r"GIT_(EDITOR|PAGER|ASKPASS)|INVOCATION_ID|JOURNAL_STREAM|SYSTEMD_.*|LISTEN_.*|MANAGERPID|DIRENV_.*",
    # what is new in each terminal, login or session
    r"GIO_LAUNCHED_.*|BAMF_DESKTOP_.*|CHROME_DESKTOP|MEMORY_PRESSURE_.*|SHELL_SESSION_ID|PROFILEHOME|COLORFGBG|MC_(SID|TMPDIR)",
    r"TERMINATOR_.*|GUAKE_.*|ROXTERM_.*|LC_TERMINAL(_VERSION)?|ATUIN_.*|STARSHIP_.*|_?P9K_.*|FZF_.*|MOTD_SHOWN|MANPATH|INFOPATH",
    r"SNAP(_.*)?|FLATPAK_.*|APPIMAGE|APPDIR|OWD|ARGV0|JPY_.*|PYDEVD_.*|PYCHARM_.*|SCHROOT_.*|FNM_.*|__MISE_.*|MISE_SHELL",
    r"(PY|RB|NOD)ENV_(DIR|SHELL|HOOK_PATH)|CONDA_(SHLVL|PROMPT_MODIFIER)|__LMOD_.*|_ModuleTable.*|__MODULES_.*",
    # the make that runs this tool, except for its flags
    r"MAKELEVEL|MAKE_TERM(OUT|ERR)|MAKE_RESTARTS",
    # a run of tests, a job of a CI
    r"PYTEST_.*|TOX_.*|NOX_.*|COV_CORE_.*|COVERAGE_.*",
    r"CI|CI_.*|GITHUB_.*|ACTIONS_.*|RUNNER_.*|GITLAB_.*|BUILDKITE.*|CIRCLE.*|TRAVIS.*|JENKINS_.*|HUDSON_.*|JOB_(NAME|ID|URL)",
    r"BUILD_(ID|NUMBER|TAG|URL|CAUSE.*|DISPLAY_NAME)|TEAMCITY_.*|TF_BUILD|AGENT_.*|APPVEYOR.*|DRONE.*|SEMAPHORE.*",
    r"BITBUCKET_.*|CODEBUILD_.*|KUBERNETES_.*|CODESPACE.*|CIRRUS_.*|WOODPECKER_.*|BITRISE_.*|ZUUL_.*|TASKCLUSTER_.*",
    r"GITEA_.*|FORGEJO_.*|Image(OS|Version)",
    # a job of Jenkins, of Azure Pipelines, of a batch system
    r"EXECUTOR_NUMBER|NODE_(NAME|LABELS)|STAGE_NAME|WORKSPACE(_TMP)?|JOB_(BASE_NAME|DISPLAY_URL)|RUN_(.*_)?URL",
    r"BRANCH_(NAME|IS_PRIMARY)|CHANGE_(ID|URL|TITLE|AUTHOR.*|BRANCH|TARGET|FORK)|GIT_((LOCAL_)?BRANCH|(.*_)?COMMIT|URL)",
    r"SYSTEM_(?!VERSION_COMPAT).*|PIPELINE_.*|VSTS_.*|BUILD_(ARTIFACTS|BINARIES|BUILD|CONTAINER|DEFINITION|QUEUED|REASON"
    r"|REPOSITORY|REQUESTED|SOURCE|STAGING).*",
    r"SLURM.*|PBS_.*|LSB_.*|SGE_.*|OAR_.*|FLUX_.*|PMI_.*|PMIX_.*|PRTE_.*|OMPI_(COMM_WORLD|UNIVERSE)_.*",
    # a job of Bamboo, Concourse, Gerrit, GoCD, Harness, TeamCity; the services that Kubernetes names
    r"bamboo_.*|BUILD_(VCS_NUMBER|JOB|PIPELINE|TEAM).*|ROOT_BUILD_CAUSE.*|GERRIT_.*|ghprb.*|gitlab[A-Z].*|HARNESS_.*",
    r"GO_(PIPELINE|STAGE|JOB|TRIGGER|REVISION|FROM_REVISION|TO_REVISION|ENVIRONMENT|SERVER)(_.*)?",
    r"\w+_SERVICE_(HOST|PORT)(_.*)?|\w+_PORT(_\d+_(TCP|UDP)(_.*)?)?",
    # secrets
    r"(?i:(.*_)?(TOKEN|SECRET|PASSPHRASE|CREDENTIAL|AUTH|(API|ACCESS|PRIVATE|SIGNING)_?KEY)S?(_.*)?)",
    r"(?i:.*(PASSWORD|PASSWD).*|.*_(PASS|PWD|PAT|KEY|DSN|COOKIE)|SSHPASS)",
    r"(DATABASE|DB|REDIS|MONGO(DB)?|AMQP|POSTGRES(QL)?|MYSQL|BROKER)_UR[IL]|KUBECONFIG|VAULT_.*",
    r"AWS_.*|AZURE_.*|GOOGLE_.*|GCP_.*|TWINE_.*|NETRC|KRB5.*|SAGE_WHEELS_STORE(_.*)?|DASK_.*",
)
# How many processes a tool that is no client of make's jobserver may start.
OF_JOBS = ("CMAKE_BUILD_PARALLEL_LEVEL", "MAX_JOBS", "CARGO_BUILD_JOBS")
_NOT_KEYED = (
    r"HOME|TMPDIR|TMP|TEMP|TEMPDIR|XDG_.*|SAGE_WHEELS_.*|TERM|(?i:(https?|ftp|all|no)_proxy)",
    # compiler caches, unless it is said which compiler they run
    r"CCACHE_(?!COMPILER|PATH|PREFIX).*|SCCACHE_.*|DISTCC_.*",
    "|".join(OF_JOBS),
    r"(\w+_)?NUM_(BUILD_)?(THREADS|JOBS|CORES)(_.*)?|NINJA_STATUS|FAKEROOTKEY|CARGO_MAKEFLAGS|GOMAXPROCS|CPU_COUNT",
    r"CTEST_PARALLEL_LEVEL|NIX_BUILD_CORES|RPM_BUILD_NCPUS|PARALLEL_(SEQ|PID|JOBSLOT)",
    # what is printed, and how
    r"(NO|FORCE)_COLOR|CARGO_TERM_.*|CMAKE_COLOR_DIAGNOSTICS|G(CC|REP)_COLORS?|RUST_(BACKTRACE|LOG)|npm_config_cache",
    r"(NIX_)?SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE|GIT_SSL_CA(INFO|PATH)|CARGO_HTTP_CAINFO|NODE_EXTRA_CA_CERTS",
    r"HTTPLIB2_CA_CERTS|GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    r"PATH",  # keyed by the programs that are found in it
)
_NOT_PASSED = re.compile("|".join(_TAKEN_OUT))
_PASSED_ONLY = re.compile("|".join(_NOT_KEYED))
# What begins the definitions in MAKEFLAGS, and the options before them that no file depends on (GNU make, 9.8): how
# many jobs run, when they stop, and what is printed. Others change what is made, such as -B, -e, -i, -n, -r, -t.
_DEFINITIONS = re.compile(r"(?:^|(?<=\s))-- ")
_NOT_OF_FILES = re.compile(
    r"--(?:jobs|load-average|max-load|jobserver-.+|sync-mutex|output-sync|(?:no-)?keep-going|stop|silent|quiet|no-silent|"
    r"(?:no-)?print-directory|trace|debug|print-data-base|warn-undefined-variables)(?:=.*)?"
)
_NOT_OF_FILES_SHORT = re.compile(r"[bdkmpsSw]|[jl][\d.]*|O.*")
_WITH_ARGUMENT = re.compile(r"[CEIWfo].*")
_WITH_NUMBER = re.compile(r"-[^-CEIWfoO]*[jl]|--(?:jobs|load-average|max-load)")
_KEEP_OUT = ("PYTHONNOUSERSITE", "PYTHONSAFEPATH")
OF_MAKE = ("MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS")
_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
_JOBSERVER = re.compile(r"\s*--jobserver-(?:auth|fds)=(\S+)")


class Variables(NamedTuple):
    """`environ`: all environment variables of a build process; `descriptors`: those that MAKEFLAGS in it names."""

    environ: dict[str, str]
    descriptors: tuple[int, ...]


def for_build(environ: Mapping[str, str], *, above: str | None = None) -> Variables:
    """The variables for a backend, from those in `environ`; git searches no repository in `above` or higher.

    Left out: PYTHONPATH, PYTHONHOME and whatever else steers an interpreter, pip's variables and configuration files,
    the variables that name one git repository, and those of sessions, CI jobs and secrets.
    Set unless the caller did: PYTHONNOUSERSITE, SOURCE_DATE_EPOCH, PYTHONHASHSEED, and a UTF-8 locale where there is
    none at all.

    >>> result = for_build({"CC": "gcc", "PYTHONPATH": "/x", "PIP_INDEX_URL": "y", "LC_ALL": "C"}).environ
    >>> sorted(result)
    ['CC', 'LC_ALL', 'PIP_CONFIG_FILE', 'PIP_DISABLE_PIP_VERSION_CHECK', 'PIP_NO_INDEX', 'PYTHONHASHSEED', \
'PYTHONNOUSERSITE', 'SOURCE_DATE_EPOCH']
    """
    result = {name: value for name, value in environ.items() if not _is_withheld(name)}
    result["PIP_CONFIG_FILE"] = os.devnull  # pip's word for: read no configuration file
    result["PIP_NO_INDEX"] = "1"
    result["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    result.update((name, environ[name]) for name in _KEEP_OUT if environ.get(name))
    result.setdefault("PYTHONNOUSERSITE", "1")
    result["PYTHONHASHSEED"] = environ.get("PYTHONHASHSEED") or "0"
    result.setdefault("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
    if not any(environ.get(name) for name in _LOCALE):
        result["LC_ALL"] = "C.UTF-8"
    if above and os.pathsep not in above:  # the cache may be in a repository that the source is not part of
        result["GIT_CEILING_DIRECTORIES"] = os.pathsep.join(
            filter(None, [above, environ.get("GIT_CEILING_DIRECTORIES")])
        )
    descriptors = _settle_jobserver(result)
    return Variables(result, descriptors)


def keyed(environ: Mapping[str, str], named_paths: Mapping[str, str]) -> dict[str, str]:
    """Those of the variables of a backend that a wheel may depend on, with the names of `named_paths` for their paths.

    >>> keyed({"CC": "gcc", "HOME": "/h", "MAKEFLAGS": " -j2 -- X=1", "L": "-L/p/lib"}, {"prefix": "/p"})
    {'CC': 'gcc', 'L': '-L{prefix}/lib', 'MAKEFLAGS': '-- X=1'}
    """
    result = {}
    for name, value in sorted(environ.items()):
        if not is_keyed(name):
            continue
        if name in OF_MAKE:
            value = _of_files(value)
            if not value:
                continue
        result[name] = with_names(value, named_paths)
    return result


def is_keyed(name: str) -> bool:
    """Whether a wheel may depend on the variable `name` of a backend."""
    return _PASSED_ONLY.fullmatch(name) is None


def counting(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of the caller's variables that a wheel may depend on, without make's.

    >>> counting({"CC": "gcc", "HOME": "/h", "MAKEFLAGS": " -j2 -- X=1", "PIP_NO_INDEX": "1"})
    {'CC': 'gcc'}
    """
    passed = {name: value for name, value in environ.items() if name not in OF_MAKE and not _is_withheld(name)}
    return keyed(passed, {})


def _of_files(flags: str) -> str:
    """The value `flags` of MAKEFLAGS without options that no file depends on; its definitions stay as they are.

    >>> _of_files("kBw -j2 -Oline --trace --eval=x:y -- X=1 -k")
    '-B --eval=x:y -- X=1 -k'
    """
    found = _DEFINITIONS.search(flags)
    start = found.start() if found else len(flags)
    kept, before = [], ""
    for number, word in enumerate(flags[:start].split()):
        if number == 0 and not word.startswith("-") and "=" not in word:
            word = f"-{word}"  # so make writes options of one letter
        is_number = _WITH_NUMBER.fullmatch(before) and re.fullmatch(r"[\d.]+", word)
        before = word
        if word.startswith("-") and not word.startswith("--"):
            word = _short(word)
        if word != "-" and not is_number and not _NOT_OF_FILES.fullmatch(word):
            kept.append(word)
    return " ".join([*kept, flags[start:]]).strip()


def _short(word: str) -> str:
    """`word`, options of one letter in one word, without those that no file depends on."""
    kept, at = "-", 1
    while at < len(word):
        found = _NOT_OF_FILES_SHORT.match(word, at) or _WITH_ARGUMENT.match(word, at)
        if not found or found.re is _WITH_ARGUMENT:
            kept += found[0] if found else word[at]
        at = found.end() if found else at + 1
    return kept


def with_names(text: str, named_paths: Mapping[str, str]) -> str:
    """`text` with each path of `named_paths` replaced by its name in braces; the longest path first.

    The path of something else may end in the same way. Braces in `text` are doubled, because they are no names.

    >>> with_names("-I/p/include:/px:/q/p:file:///p:{p}", {"prefix": "/p"})
    '-I{prefix}/include:/px:/q/p:file://{prefix}:{{p}}'
    """
    if not named_paths:
        return text
    names = {_with_braces(path): name for name, path in named_paths.items()}
    paths = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    word = rf"""(^|(?<=[\s:;,'"=]))(-[A-Za-z-]+|//)?({paths})(?=[\s/:;,'"=]|$)"""
    return re.sub(word, lambda found: f"{found[2] or ''}{{{names[found[3]]}}}", _with_braces(text))


def _with_braces(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _is_withheld(name: str) -> bool:
    return name in OF_ONE_REPOSITORY or _NOT_PASSED.fullmatch(name) is not None


def jobserver_of(environ: Mapping[str, str]) -> tuple[int, int] | tuple[str, str] | None:
    """The two ends of the jobserver in MAKEFLAGS, as descriptors or as the path of a fifo; None if there is none."""
    found = _JOBSERVER.search(environ.get("MAKEFLAGS", ""))
    descriptors = _jobserver_descriptors(found[1]) if found else None
    if not found or descriptors is None:
        return None
    if descriptors:
        return descriptors[0], descriptors[1]
    return found[1].removeprefix("fifo:"), found[1].removeprefix("fifo:")


def without_jobserver(flags: str) -> str:
    """`flags` (MAKEFLAGS) without the options of the jobserver."""
    return re.sub(r"(^| )-j\d*(?= |$)", "", _JOBSERVER.sub("", flags))


def _settle_jobserver(environ: dict[str, str]) -> tuple[int, ...]:
    """Keep the jobserver in MAKEFLAGS only if it is valid; return its descriptors (GNU make, 13.1.2).

    A program between make and this tool may have replaced the pipe by a file. A client that reads a token from it would
    wait for ever, or read wrong data.
    """
    found = _JOBSERVER.search(environ.get("MAKEFLAGS", ""))
    if not found:
        return ()
    descriptors = _jobserver_descriptors(found[1])
    if descriptors is not None:
        return descriptors
    for name in ("MAKEFLAGS", "MFLAGS"):
        if name in environ:
            environ[name] = _JOBSERVER.sub("", environ[name])
    return ()


def _jobserver_descriptors(announced: str) -> tuple[int, ...] | None:
    """The descriptors of a jobserver announced as `R,W` or `fifo:PATH`; None if there is no such jobserver."""
    if announced.startswith("fifo:"):
        return () if _is_fifo(announced[len("fifo:") :]) else None
    numbers = re.fullmatch(r"(\d+),(\d+)", announced)
    if not numbers:
        return None
    reader, writer = int(numbers[1]), int(numbers[2])
    try:
        one, other = os.fstat(reader), os.fstat(writer)
        modes = [fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE for fd in (reader, writer)]
    except OSError:
        return None  # not open: make does not treat this command as a sub-make
    is_pipe = stat.S_ISFIFO(one.st_mode) and os.path.samestat(one, other)
    usable = modes[0] in (os.O_RDONLY, os.O_RDWR) and modes[1] in (os.O_WRONLY, os.O_RDWR)
    return (reader, writer) if is_pipe and usable else None


def _is_fifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False
