"""Which variables do not reach a build backend, and which ones reach it without being part of the key.

A word is the name of a variable; if it ends in `*`, it stands for all names that begin so. A variable that is not in
these tables is passed, and part of the key.
"""

from __future__ import annotations

import re

from sage_wheels.building.git_variables import OF_ONE_REPOSITORY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Private names of `pyproject_hooks`, since 1.1: the variables with the name of the backend and its path.
# tests/building/test_private_names.py fails when they change.
OF_HOOKS = "_PYPROJECT_HOOKS_"

_WITHHELD = (
    # the caller's Python, pip and uv
    f"PIP_* UV_* PYTHON* __PYVENV_LAUNCHER__ VIRTUAL_ENV VIRTUAL_ENV_PROMPT {OF_HOOKS}*",
    # the session: user, host, shell, screen
    "_ SHLVL PWD OLDPWD SHELL USER LOGNAME USERNAME MAIL EMAIL HOSTNAME SUDO_* SSH_* GPG_* DBUS_* DISPLAY XAUTHORITY",
    "WAYLAND_* DESKTOP_* GNOME_* KDE_* GDM* SESSION_* WINDOWID WINDOWPATH STY TMUX* VTE_* ITERM_* TERM_* COLORTERM",
    "COLUMNS LINES LSCOLORS LS_COLORS CLICOLOR* PAGER LESS* MANPAGER EDITOR VISUAL PS0 PS1 PS2 PS3 PS4 PROMPT*",
    "HISTFILE HISTSIZE HISTCONTROL HISTIGNORE TERMINAL_* VSCODE_* KITTY_* ALACRITTY_* WEZTERM_* KONSOLE_* GHOSTTY_*",
    "TILIX_ID WT_* WSL* ZELLIJ* NVIM* INSIDE_EMACS VIM VIMRUNTIME I3SOCK SWAYSOCK HYPRLAND_* ICEAUTHORITY AT_SPI_*",
    "SECURITYSESSIONID XPC_* __CF* GIT_EDITOR GIT_PAGER GIT_ASKPASS INVOCATION_ID JOURNAL_STREAM SYSTEMD_* LISTEN_*",
    "MANAGERPID DIRENV_*",
    # what is new in each terminal, login or session
    "GIO_LAUNCHED_* BAMF_DESKTOP_* CHROME_DESKTOP MEMORY_PRESSURE_* SHELL_SESSION_ID PROFILEHOME COLORFGBG MC_SID",
    "MC_TMPDIR TERMINATOR_* GUAKE_* ROXTERM_* LC_TERMINAL LC_TERMINAL_VERSION ATUIN_* STARSHIP_* P9K_* _P9K_* FZF_*",
    "MOTD_SHOWN MANPATH INFOPATH SNAP SNAP_* FLATPAK_* APPIMAGE APPDIR OWD ARGV0 JPY_* PYDEVD_* PYCHARM_* SCHROOT_*",
    "FNM_* __MISE_* MISE_SHELL PYENV_DIR PYENV_SHELL PYENV_HOOK_PATH RBENV_DIR RBENV_SHELL RBENV_HOOK_PATH NODENV_DIR",
    "NODENV_SHELL NODENV_HOOK_PATH CONDA_SHLVL CONDA_PROMPT_MODIFIER __LMOD_* _ModuleTable* __MODULES_*",
    # the make that runs this tool, except for its flags
    "MAKELEVEL MAKE_TERMOUT MAKE_TERMERR MAKE_RESTARTS",
    # a run of tests, a job of a CI
    "PYTEST_* TOX_* NOX_* COV_CORE_* COVERAGE_*",
    "CI CI_* GITHUB_* ACTIONS_* RUNNER_* GITLAB_* BUILDKITE* CIRCLE* TRAVIS* JENKINS_* HUDSON_* JOB_NAME JOB_ID",
    "JOB_URL BUILD_ID BUILD_NUMBER BUILD_TAG BUILD_URL BUILD_CAUSE* BUILD_DISPLAY_NAME TEAMCITY_* TF_BUILD AGENT_*",
    "APPVEYOR* DRONE* SEMAPHORE* BITBUCKET_* CODEBUILD_* KUBERNETES_* CODESPACE* CIRRUS_* WOODPECKER_* BITRISE_*",
    "ZUUL_* TASKCLUSTER_* GITEA_* FORGEJO_* ImageOS ImageVersion",
    # a job of Jenkins, of Azure Pipelines, of a batch system
    "EXECUTOR_NUMBER NODE_NAME NODE_LABELS STAGE_NAME WORKSPACE WORKSPACE_TMP JOB_BASE_NAME JOB_DISPLAY_URL",
    "BRANCH_NAME BRANCH_IS_PRIMARY CHANGE_ID CHANGE_URL CHANGE_TITLE CHANGE_AUTHOR* CHANGE_BRANCH CHANGE_TARGET",
    "CHANGE_FORK GIT_BRANCH GIT_LOCAL_BRANCH GIT_URL SYSTEM_* PIPELINE_* VSTS_* BUILD_ARTIFACTS* BUILD_BINARIES*",
    "BUILD_BUILD* BUILD_CONTAINER* BUILD_DEFINITION* BUILD_QUEUED* BUILD_REASON* BUILD_REPOSITORY* BUILD_REQUESTED*",
    "BUILD_SOURCE* BUILD_STAGING* SLURM* PBS_* LSB_* SGE_* OAR_* FLUX_* PMI_* PMIX_* PRTE_* OMPI_COMM_WORLD_*",
    "OMPI_UNIVERSE_*",
    # a job of Bamboo, Concourse, Gerrit, GoCD, Harness, TeamCity
    "bamboo_* BUILD_VCS_NUMBER* BUILD_JOB* BUILD_PIPELINE* BUILD_TEAM* ROOT_BUILD_CAUSE* GERRIT_* ghprb* HARNESS_*",
    "GO_PIPELINE GO_PIPELINE_* GO_STAGE GO_STAGE_* GO_JOB GO_JOB_* GO_TRIGGER GO_TRIGGER_* GO_REVISION GO_REVISION_*",
    "GO_FROM_REVISION GO_FROM_REVISION_* GO_TO_REVISION GO_TO_REVISION_* GO_ENVIRONMENT GO_ENVIRONMENT_* GO_SERVER",
    "GO_SERVER_*",
    # secrets
    "DATABASE_URL DATABASE_URI DB_URL DB_URI REDIS_URL REDIS_URI MONGO_URL MONGO_URI MONGODB_URL MONGODB_URI AMQP_URL",
    "AMQP_URI POSTGRES_URL POSTGRES_URI POSTGRESQL_URL POSTGRESQL_URI MYSQL_URL MYSQL_URI BROKER_URL BROKER_URI",
    "KUBECONFIG VAULT_* AWS_* AZURE_* GOOGLE_* GCP_* TWINE_* NETRC KRB5* SAGE_WHEELS_STORE SAGE_WHEELS_STORE_* DASK_*",
)
# These begin as something above, and change what is built: PYTHON_CONFIG, macOS's SYSTEM_VERSION_COMPAT.
_STILL_PASSED = ("PYTHON_", "SYSTEM_VERSION_COMPAT")
# Of Jenkins and of GitLab; of the services that Kubernetes names.
_WITHHELD_FORMS = (
    r"RUN_(.*_)?URL|GIT_(.*_)?COMMIT|gitlab[A-Z].*|\w+_SERVICE_(HOST|PORT)(_.*)?|\w+_PORT(_\d+_(TCP|UDP)(_.*)?)?"
)
# Of names in capitals.
_SECRET_FORMS = (
    r"(.*_)?(TOKEN|SECRET|PASSPHRASE|CREDENTIAL|AUTH|(API|ACCESS|PRIVATE|SIGNING)_?KEY)S?(_.*)?"
    r"|.*(PASSWORD|PASSWD).*|.*_(PASS|PWD|PAT|KEY|DSN|COOKIE)|SSHPASS"
)

# How many processes a tool that is no client of make's jobserver may start.
OF_JOBS = ("CMAKE_BUILD_PARALLEL_LEVEL", "MAX_JOBS", "CARGO_BUILD_JOBS")
_NOT_KEYED = (
    "HOME TMPDIR TMP TEMP TEMPDIR XDG_* SAGE_WHEELS_* TERM FAKEROOTKEY",
    # compiler caches
    "CCACHE_* SCCACHE_* DISTCC_*",
    # how many processes
    " ".join(OF_JOBS),
    "CARGO_MAKEFLAGS GOMAXPROCS CPU_COUNT CTEST_PARALLEL_LEVEL NIX_BUILD_CORES RPM_BUILD_NCPUS PARALLEL_SEQ",
    "PARALLEL_PID PARALLEL_JOBSLOT",
    # what is printed, and how
    "NO_COLOR FORCE_COLOR CARGO_TERM_* CMAKE_COLOR_DIAGNOSTICS GCC_COLOR GCC_COLORS GREP_COLOR GREP_COLORS",
    "NINJA_STATUS RUST_BACKTRACE RUST_LOG npm_config_cache",
    # the network
    "SSL_CERT_FILE SSL_CERT_DIR NIX_SSL_CERT_FILE NIX_SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH CARGO_HTTP_CAINFO NODE_EXTRA_CA_CERTS HTTPLIB2_CA_CERTS GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "PATH",  # keyed by the programs that are found in it
)
_STILL_KEYED = ("CCACHE_COMPILER", "CCACHE_PATH", "CCACHE_PREFIX")  # these say which compiler runs
_NOT_KEYED_FORMS = r"(\w+_)?NUM_(BUILD_)?(THREADS|JOBS|CORES)(_.*)?"
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")  # also in small letters


def _words(lines: Iterable[str]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The whole names in `lines`, and what names begin with."""
    words = " ".join(lines).split()
    whole = frozenset(word for word in words if not word.endswith("*"))
    return whole, tuple(word[:-1] for word in words if word.endswith("*"))


_WITHHELD_NAMES, _WITHHELD_BEGINNINGS = _words(_WITHHELD)
_NOT_KEYED_NAMES, _NOT_KEYED_BEGINNINGS = _words(_NOT_KEYED)


def is_withheld(name: str) -> bool:
    """Whether the variable `name` of the caller does not reach a backend.

    >>> [is_withheld(name) for name in ("PYTHONPATH", "GITHUB_SHA", "my_api_key", "CC", "PYTHON_CONFIG")]
    [True, True, True, False, False]
    """
    return (
        name in _WITHHELD_NAMES
        or name in OF_ONE_REPOSITORY
        or (name.startswith(_WITHHELD_BEGINNINGS) and not name.startswith(_STILL_PASSED))
        or re.fullmatch(_WITHHELD_FORMS, name) is not None
        or re.fullmatch(_SECRET_FORMS, name.upper()) is not None
    )


def is_keyed(name: str) -> bool:
    """Whether a wheel may depend on the variable `name` of a backend.

    >>> [is_keyed(name) for name in ("CFLAGS", "HOME", "XDG_CACHE_HOME", "no_proxy", "OMP_NUM_THREADS")]
    [True, False, False, False, False]
    """
    return not (
        name in _NOT_KEYED_NAMES
        or (name.startswith(_NOT_KEYED_BEGINNINGS) and not name.startswith(_STILL_KEYED))
        or name.upper() in _PROXIES
        or re.fullmatch(_NOT_KEYED_FORMS, name) is not None
    )
