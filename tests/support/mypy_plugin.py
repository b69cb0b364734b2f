"""A plugin of mypy: who gives the system a path that is not one of the file system gets an error.

A `PrefixPath` and a `MemberName` are text, so mypy lets them be given to `open`, which would look for them in the
current directory. Here the functions that look for files are named; with a `dir_fd`, a name may be relative.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.plugin import FunctionContext, MethodContext, Plugin
from mypy.types import Instance, Type, UnionType, get_proper_type

_RELATIVE = {"sage_wheels.prefix.paths.PrefixPath", "sage_wheels.archive.strict_zip.MemberName"}
_OS = "access chdir chmod chown lchown link listdir lstat makedirs mkdir mkfifo open readlink remove removedirs rename "
_OS += "renames replace rmdir scandir stat statvfs symlink truncate unlink utime walk"
_PATH = "abspath exists getatime getctime getmtime getsize isdir isfile islink ismount lexists realpath samefile"
_SHUTIL = "copy copy2 copyfile copymode copystat copytree disk_usage move rmtree"
LOOKING = {
    *("builtins.open", "io.open", "_io.open"),
    *(f"{module}.{name}" for module in ("os", "posix") for name in _OS.split()),
    *(f"{module}.{name}" for module in ("os.path", "posixpath", "genericpath") for name in _PATH.split()),
    *(f"shutil.{name}" for name in _SHUTIL.split()),
}


class Paths(Plugin):
    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        return _check if fullname in LOOKING or fullname.startswith("sage_wheels.fs.presence.") else None

    def get_method_hook(self, fullname: str) -> Callable[[MethodContext], Type] | None:
        return _check if fullname == "shutil._RmtreeType.__call__" else None  # `shutil.rmtree`


def _check(context: FunctionContext | MethodContext) -> Type:
    arguments = list(zip(context.callee_arg_names, context.args, context.arg_types, strict=True))
    if not any(name and name.endswith("dir_fd") and given for name, given, _ in arguments):
        for _, given, types in arguments:
            for expression, each in zip(given, types, strict=True):
                if _is_relative(each):
                    context.api.fail(f"{each} is no path of the file system; see Prefix.path and Tree", expression)
    return context.default_return_type


def _is_relative(given: Type) -> bool:
    proper = get_proper_type(given)
    if isinstance(proper, UnionType):
        return any(map(_is_relative, proper.items))
    return isinstance(proper, Instance) and proper.type.fullname in _RELATIVE


def plugin(version: str) -> type[Plugin]:
    return Paths
