"""Lines of Sage's scripts that start processes, and lines that do the same with fewer of them, for overlay.py.

For a package, each of them is run up to seven times. Nothing of ours depends on them: where a release has another line,
that stays. Each new line stands for one old line alone, so that nothing else of the script matters; indentation does
not count. All of these scripts are run or read by bash.
"""

from __future__ import annotations

# By the path of a script: "-" is before the old line, "+" before the one that takes its place. (sage-spkg lets sed
# change PYTHONPATH only if something of what sed looks for is in it.)
_LINES = {
    "build/bin/sage-spkg": r"""
- if echo "$MAKE $MAKEFLAGS -$MAKEFLAGS" |grep '[ ]-[A-Za-z]*[qnt]' >/dev/null; then
+ if [[ "$MAKE $MAKEFLAGS -$MAKEFLAGS" =~ \ -[A-Za-z]*[qnt] ]]; then
- if echo "$MAKE $MAKEFLAGS -$MAKEFLAGS" |grep '[ ]-[A-Za-z]*q' >/dev/null; then
+ if [[ "$MAKE $MAKEFLAGS -$MAKEFLAGS" =~ \ -[A-Za-z]*q ]]; then
- if [ -n "$PYTHONPATH" ]; then
+ if [[ -n "$PYTHONPATH" && ":$PYTHONPATH:" =~ //|/\.:|:\./|:\.:|:: ]]; then
- if echo "$PKG_SRC" | grep / >/dev/null; then
+ if [[ "$PKG_SRC" = */* ]]; then
- export PKG_BASE=`echo "$PKG_NAME" | sed 's/-.*//'` # strip version number
+ export PKG_BASE="${PKG_NAME%%-*}"
- mkdir -p "$dir" || exit_with_error_msg "Error creating directory $dir"
+ [ -d "$dir" ] || mkdir -p "$dir" || exit_with_error_msg "Error creating directory $dir"
- if head -1 "$script.in" | grep '^#!.*$' >/dev/null; then
+ if IFS= read -r first_line <"$script.in"; [[ "$first_line" = '#!'* ]]; then
- local tmpscript="$(dirname "$script")/.tmp-${script##*/}"
+ local tmpscript="${script%/*}/.tmp-${script##*/}"
""",
    "build/bin/sage-logger": r"""
- logname="$(basename $logfile .log)"
+ logname="${logfile##*/}"; [ "${logname:=.log}" = .log ] || logname="${logname%.log}"
- logdir=`dirname "$logfile"`
+ logdir=.; [[ "$logfile" != */* ]] || logdir="${logfile%/*}/"
- rm -f "$timefile"
+ [ ! -e "$timefile" ] || rm -f "$timefile"
- mkdir -p "$logdir"
+ [ -d "$logdir" ] || mkdir -p "$logdir"
""",
    "src/bin/sage-env": r"""
- in=$(echo "${in}" | sed 's://*:/:g')
+ case $in in *//*) in=$(echo "${in}" | sed 's://*:/:g') ;; esac
- ( cd "$out" ) || return $?
+ { [ -d "$out" ] && [ -x "$out" ]; } || ( cd "$out" ) || return $?
""",
}


def lines(script: str) -> list[tuple[str, str]]:
    """The old line and the new one of each pair of `script`, a path in a tree of Sage."""
    text = [line[2:] for line in _LINES[script].strip().split("\n")]
    return list(zip(text[::2], text[1::2], strict=True))
