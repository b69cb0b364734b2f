# shellcheck shell=sh
# Sourced by the scripts in build/ and build/bin/: finds the system Python, and keeps the caller's settings out.

# Set $python to the real path of an interpreter of Python 3.10 or newer that is a binary (a pyenv shim is a script),
# belongs to no virtual environment and lies in none of Sage's own prefixes. The first one on PATH wins; directories
# where systems keep Pythons come after PATH, and what pyenv has built comes last. Return 1 if there is none.
system_python() {
    saved_ifs=$IFS
    IFS=:
    # shellcheck disable=SC2086 # PATH is to be split
    set -- ${PATH-} /usr/bin /usr/local/bin /opt/homebrew/bin
    IFS=$saved_ifs
    for directory do
        usable_python "$directory/python3" && return 0
    done
    for directory do
        for candidate in "$directory"/python3.[1-9][0-9]; do
            usable_python "$candidate" && return 0
        done
    done
    for candidate in "${PYENV_ROOT:-${HOME-}/.pyenv}"/versions/3.[1-9][0-9]*/bin/python3; do
        usable_python "$candidate" && return 0
    done
    return 1
}

# Set $python if $1 is an interpreter to be used; whatever can be told without starting it comes first.
usable_python() {
    [ -f "$1" ] && [ -x "$1" ] || return 1
    IFS= read -r first_line <"$1" || :
    case $first_line in '#!'*) return 1 ;; esac
    [ -e "${1%/*}/../pyvenv.cfg" ] && return 1
    case $1 in "${SAGE_LOCAL:-/dev/null}"/* | "${SAGE_VENV:-/dev/null}"/*) return 1 ;; esac
    # shellcheck disable=SC2034 # it is for the script that sources this
    python=$("$1" -I -S -c '
import sys, zlib
from os.path import realpath
sys.version_info >= (3, 10) or sys.exit(1)
print(realpath(sys.executable))' 2>/dev/null)
}

# Say on standard error, as the script $1, that there is no system Python.
no_system_python() {
    echo "$1: no Python 3.10 or newer is on PATH or in /usr/bin, /usr/local/bin, /opt/homebrew/bin" \
        "(scripts such as pyenv's shims and virtual environments do not count);" \
        "install one, on Debian and Ubuntu with: apt install python3 python3-venv" >&2
}

# Unset every PYTHON* and PIP_* variable but those that say where packages come from: for installing what this
# project needs, the caller's --user, --target, constraints and the like are none of our business.
clean_environment() {
    for variable in $(env | sed -n 's/^\(PIP_[A-Z0-9_]*\)=.*/\1/p; s/^\(PYTHON[A-Z0-9_]*\)=.*/\1/p'); do
        case $variable in
            PIP_INDEX_URL | PIP_EXTRA_INDEX_URL | PIP_FIND_LINKS | PIP_NO_INDEX | PIP_CONFIG_FILE | PIP_CACHE_DIR) ;;
            PIP_CERT | PIP_CLIENT_CERT | PIP_TRUSTED_HOST | PIP_PROXY | PIP_KEYRING_PROVIDER) ;;
            PIP_DEFAULT_TIMEOUT | PIP_TIMEOUT | PIP_RETRIES | PIP_DISABLE_PIP_VERSION_CHECK) ;;
            *) unset "$variable" ;;
        esac
    done
}
