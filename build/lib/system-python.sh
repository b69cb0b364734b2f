# shellcheck shell=sh
# Sourced by the scripts in build/ and build/bin/: finds the system Python, and keeps the caller's settings out.

# The variables that put the caller's libraries into every program: the system Python is to be found and started as if
# they were not set. The list is to be split where it is used.
library_variables='LD_LIBRARY_PATH LD_PRELOAD LD_AUDIT DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH
    DYLD_FRAMEWORK_PATH DYLD_FALLBACK_FRAMEWORK_PATH DYLD_INSERT_LIBRARIES'

# Set $python to the real path of an interpreter of Python 3.10 or newer that is a binary (a pyenv shim is a script),
# changes PATH for nobody, belongs to no virtual environment and lies in none of Sage's own prefixes. One that has ssl
# is preferred, then the first one on PATH; directories where systems keep Pythons come after PATH, then the Python that
# a virtual environment on PATH was made from, and what pyenv has built comes last. Return 1 if there is none; $tried then says what was looked at.
system_python() {
    tried='' without_ssl=''
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
    for directory do
        IFS= read -r home <"$directory/../pyvenv.cfg" || continue # venv writes this line first
        case $home in 'home = '*) usable_python "${home#home = }/python3" && return 0 ;; esac
    done 2>/dev/null
    for candidate in "${PYENV_ROOT:-${HOME-}/.pyenv}"/versions/3.[1-9][0-9]*/bin/python3; do
        usable_python "$candidate" && return 0
    done
    python=$without_ssl
    [ -n "$python" ]
}

# As system_python, but by the file in the tree $1 that remembers the answer of an earlier call, if that one is still
# good: then nothing is started. The file may be deleted, and need not be writable. An answer that $SAGE_LOCAL or
# $SAGE_VENV has made another one is not remembered: the next call may be without them.
remembered_python() {
    if [ -d "$1/build/sage-wheels" ]; then # a Sage tree
        memory=$1/build/sage-wheels/python
    else
        memory=$1/.cache/python
    fi
    python='' refused_for_caller=''
    if [ -f "$memory" ] && [ -r "$memory" ]; then
        IFS= read -r python <"$memory" || :
    fi
    if [ -x "$python" ] && [ ! "$python" -nt "$memory" ] && in_no_prefix "$python"; then
        return 0
    fi
    system_python || return 1
    [ -z "$refused_for_caller" ] || return 0
    (
        umask 022 # it is for every user of the tree
        mkdir -p "${memory%/*}" && printf '%s\n' "$python" >"$memory.$$" && mv -f "$memory.$$" "$memory"
    ) 2>/dev/null || :
}

# Set $python if $1 is an interpreter to be used; whatever can be told without starting it comes first.
usable_python() {
    [ -f "$1" ] && [ -x "$1" ] || return 1
    IFS= read -r first_line <"$1" || :
    case $first_line in '#!'*) tried="$tried, $1 is a script"; return 1 ;; esac
    in_no_prefix "$1" || { tried="$tried, $1 is in a prefix"; return 1; }
    answer=$(unset_libraries; "$1" -I -S -c '
import os, sys
from os.path import realpath
sys.version_info >= (3, 10) and os.environ.get("PATH", sys.argv[1]) == sys.argv[1] or sys.exit(1)
try:
    from ssl import HAS_SNI
except ImportError:
    HAS_SNI = False
print("ssl" if HAS_SNI else "-", realpath(sys.executable))' "${PATH-}" 2>/dev/null) || {
        tried="$tried, $1 is too old or does not run as it should"
        return 1
    }
    in_no_prefix "${answer#* }" || { tried="$tried, $1 leads into a prefix"; return 1; }
    case $answer in
        'ssl '*)
            # shellcheck disable=SC2034 # it is for the script that sources this
            python=${answer#* }
            ;;
        *)
            : "${without_ssl:=${answer#* }}"
            return 1
            ;;
    esac
}

# Whether the interpreter $1 belongs neither to a virtual environment nor to one of Sage's prefixes, here or elsewhere.
in_no_prefix() {
    [ ! -e "${1%/*}/../pyvenv.cfg" ] && [ ! -e "${1%/*}/../var/lib/sage" ] || return 1
    case $1 in
        "${SAGE_LOCAL:-/dev/null}"/* | "${SAGE_VENV:-/dev/null}"/*)
            refused_for_caller=yes
            return 1
            ;;
    esac
}

# Start without the library variables what is started from now on.
unset_libraries() {
    # shellcheck disable=SC2086 # the list is to be split
    unset $library_variables
}

# Give each of the library variables a name that means nothing to anybody, CALLERS_..., for a program that passes them
# on to what it starts.
set_libraries_aside() {
    for variable in $library_variables; do
        eval "[ -z \"\${$variable+set}\" ] || { export \"CALLERS_$variable=\$$variable\"; unset $variable; }"
    done
}

# Say on standard error, as the script $1, that there is no system Python.
no_system_python() {
    echo "$1: no Python 3.10 or newer is on PATH or in /usr/bin, /usr/local/bin, /opt/homebrew/bin" \
        "(scripts such as pyenv's shims and virtual environments do not count${tried:+: ${tried#, }});" \
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
