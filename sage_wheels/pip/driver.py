"""Run pip in a target interpreter (`-c`): pip resolves, downloads and builds as usual, but does not install.

pip's own code runs up to the call that would change the environment. At that point this program sends a list of the
wheels to install to the process that started it (the parent), which installs them in one transaction and answers.
Everything else, from options and configuration to reports and exit statuses, is done by pip. Some internal functions of
pip are replaced; a pip that does not have all of them is not used:
`pip._internal.commands.install.InstallCommand.run`,
`pip._internal.commands.install.install_given_reqs`, `pip._internal.operations.install.wheel.install_wheel`,
`pip._internal.req.req_install.InstallRequirement.uninstall`.
`pip._internal.operations.prepare.RequirementPreparer.prepare_installed_requirement` is only listened to: with it, pip
notes that a requirement is satisfied. Others are used as they are: `pip._internal.cli.main_parser.create_main_parser`,
`pip._internal.commands.install.decide_user_install`, `pip._internal.exceptions.InstallationError`,
`pip._internal.utils.logging.indent_log`; the modules `pip._internal.cli.main` and `pip._internal.metadata` and the
class `pip._internal.metadata.importlib._dists.WheelDistribution`, to try whether that pip runs; and the
variable `_PIP_RUNNING_IN_SUBPROCESS`, which pip sets for itself.

What pip installs into a build environment in the same process (`--use-feature=inprocess-build-deps`) is installed by
pip itself. If the parent ends, or wants to end pip, pip is interrupted as by Ctrl-C.

This file uses only the standard library of Python 3.7 and newer, because the Python of the prefix runs it. The first
argument, before those of pip, is a JSON object:

    pips           directories and zip files that contain a pip, to be used if this Python has none
    ask, answer    the descriptors of the pipes to and from the parent
    plain          if true, none of pip's functions is replaced; only the end of the parent is watched
    constraints    the path of one more constraints file, or "" (not with `plain`)
    report         whether the parent wants to know the result of a dry run, too (not with `plain`)

Paths are in hexadecimal, here and in the messages over the pipes. This file is never imported by the tool.
"""

from __future__ import annotations

import sys

if "" in sys.path:
    sys.path.remove("")  # `-c` puts it there, and nothing is imported from the current directory

import _thread
import errno
import hashlib
import importlib
import importlib.util
import json
import logging
import os
import re
import runpy
import shutil
import signal
import site
import tempfile
import threading
from importlib.machinery import PathFinder
from typing import Any


def main() -> None:
    settings = json.loads(sys.argv[1])
    sys.argv[:] = ["pip", *sys.argv[2:]]
    pips = [from_hex(each) for each in settings["pips"]]
    if not (choose_pip if settings["plain"] else choose_known_pip)(pips):
        sys.exit("sage-wheels: error: there is no pip, or none that this tool supports; try: python3 -m ensurepip")
    importlib.import_module("pip")
    conversation = Conversation(settings)
    if not settings["plain"]:
        # looking for a newer pip afterwards would import what has just been installed (CVE-2026-6357)
        sys.argv.insert(1, "--disable-pip-version-check")
        conversation.stand_in()
    if names_a_python():
        os.environ["_PIP_RUNNING_IN_SUBPROCESS"] = "1"  # tells pip that it runs in that Python already
    # pip removes the first entry if that is the current directory; without this one, it could remove one of PYTHONPATH
    sys.path.insert(0, "")
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


def names_a_python() -> bool:
    """Whether the user's settings name a Python in which pip should run (here, it is always that of the prefix)."""
    try:
        parser = importlib.import_module("pip._internal.cli.main_parser").create_main_parser()
    except ImportError:
        return False  # a pip of another shape, which is run as it is
    return bool(getattr(parser.parse_args([])[0], "python", None))


def in_hex(path: str) -> str:
    """The bytes of `path` in hexadecimal, because the other process may use another encoding of file names."""
    return os.fsencode(path).hex()


def from_hex(text: str) -> str:
    return os.fsdecode(bytes.fromhex(text))


class Redirect:
    """An import finder that finds the package `pip` in one directory or zip file, and nothing else."""

    def __init__(self, path: str) -> None:
        self.path = path

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return PathFinder.find_spec(name, [self.path]) if name == "pip" else None


class Closed:
    """An import finder that refuses everything but the standard library and pip, so that a package that was just
    installed is not imported here."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        known = getattr(sys, "stdlib_module_names", None)  # Python 3.10 and newer
        if known and name.partition(".")[0] not in {"pip", *known}:
            raise ModuleNotFoundError(f"{name} is not imported after an installation", name=name)


def choose_pip(pips: list[str]) -> bool:
    """Make `import pip` find the pip of this Python or, if it has none, the first of `pips` that runs here.

    Returns whether there is one.
    """
    return importlib.util.find_spec("pip") is not None or choose_first(pips, runs)


def choose_known_pip(pips: list[str]) -> bool:
    """As `choose_pip`, but the pip must also have the internal functions that are replaced."""
    return choose_first(["", *pips], is_known)


def choose_first(paths: list[str], is_good: Any) -> bool:
    """Make `import pip` find the pip at the first of `paths` for which `is_good` is true; "" is that of this Python.

    Returns whether there is one.
    """
    before = sys.meta_path[:]
    for path in paths:
        sys.meta_path[:] = [Redirect(path), *before] if path else before
        try:
            sys.dont_write_bytecode = bool(path)  # another Python may own that directory
            if is_good():
                return True
        except Exception as error:  # a damaged pip may raise anything
            if lacks_memory(error):
                raise  # this is not the fault of that pip
        for name in [name for name in sys.modules if name == "pip" or name.startswith("pip.")]:
            del sys.modules[name]
    return False


def lacks_memory(error: Exception) -> bool:
    """Whether `error` came because there is too little memory, which Python does not always say by a MemoryError."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, ImportError):  # of a shared library (dlopen(3))
        return "failed to map segment" in str(error) or os.strerror(errno.ENOMEM) in str(error)
    return isinstance(error, (MemoryError, SystemError))


def runs() -> bool:
    """Whether the pip that was imported runs on this Python, which may be too new for it."""
    importlib.import_module("pip._internal.cli.main")
    importlib.import_module("pip._internal.commands.install")
    for name in ("pip._internal.metadata", "pip._vendor.pkg_resources"):  # a pip may have only one of them
        if importlib.util.find_spec(name):
            importlib.import_module(name)
    return reads_metadata()


def reads_metadata() -> bool:
    """Whether this Python lets pip make its objects for metadata; Python 3.15 does so only from pip 25.0 on, which has
    all methods that are abstract there."""
    try:
        dists = importlib.import_module("pip._internal.metadata.importlib._dists")
    except ImportError:
        return True  # a pip that reads metadata in another way
    return not getattr(getattr(dists, "WheelDistribution", None), "__abstractmethods__", ())


def is_known() -> bool:
    wheel = importlib.import_module("pip._internal.operations.install.wheel")
    command = importlib.import_module("pip._internal.commands.install")
    requirement = importlib.import_module("pip._internal.req.req_install").InstallRequirement
    return (
        reads_metadata()
        and callable(wheel.install_wheel)
        and callable(requirement.uninstall)
        and speaks_of(command.InstallCommand.run, "install_given_reqs")
        and speaks_of(requirement.install, "install_wheel")
    )


def speaks_of(function: Any, name: str) -> bool:
    """Whether the code of `function`, or of a function that it decorates, uses `name`."""
    inner = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    names = getattr(getattr(function, "__code__", None), "co_names", ())
    return name in names or any(speaks_of(each, name) for each in inner if callable(each))


def version_of(requirement: Any) -> str:
    """The version that pip is going to install: that of the wheel, or that of a source tree with an old setup.py."""
    path = requirement.local_file_path or ""
    return os.path.basename(path).split("-")[1] if path.endswith(".whl") else str(requirement.get_dist().version)


def digest_of(requirement: Any) -> str:
    """The SHA-256 of the wheel that pip is going to install; "" for a source tree."""
    path = requirement.local_file_path or ""
    if not path.endswith(".whl"):
        return ""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def origin_of(requirement: Any) -> str:
    """The URL of the file that pip has downloaded for `requirement`; "" if this pip does not know it (before 22.2)."""
    return str(getattr(getattr(requirement, "download_info", None), "url", ""))


def find_installed(name: str) -> tuple[str, str]:
    """The directory in which this Python first finds the distribution `name`, and its version; both "" for none."""
    wanted = re.sub(r"[-_.]+", "-", name).lower()
    for directory in sys.path:
        try:
            entries = os.listdir(directory or ".")
        except OSError:
            continue  # not there, a zip file, or not for this user
        for entry in entries:
            stem, _, kind = entry.rpartition(".")
            found, _, rest = (stem, "", "") if kind == "egg-link" else stem.partition("-")
            if kind in ("dist-info", "egg-info", "egg-link") and re.sub(r"[-_.]+", "-", found).lower() == wanted:
                return directory, rest.partition("-")[0]
    return "", ""


def is_users(directory: str) -> bool:
    """Whether `directory` is the user's site directory; False in a virtual environment, where pip calls it outside."""
    is_virtual = sys.prefix != sys.base_prefix
    return not is_virtual and os.path.realpath(directory) == os.path.realpath(site.getusersitepackages())


def is_outside(directory: str) -> bool:
    """Whether `directory` lies outside of the environment of this Python."""
    prefix = os.path.realpath(sys.prefix)
    return os.path.commonpath([prefix, os.path.realpath(directory)]) != prefix


class Conversation:
    """Replaces the functions of pip that install: sends the wheels to the parent process, and reads its answer."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.constraints = from_hex(settings.get("constraints", ""))
        self.report = settings.get("report", False)
        for descriptor in (settings["ask"], settings["answer"]):
            os.set_inheritable(descriptor, False)  # build backends must not inherit these
        self.questions = os.fdopen(settings["ask"], "w", encoding="utf-8")
        self.answers = os.fdopen(settings["answer"], encoding="utf-8")
        self.answer: dict[str, Any] = {}
        self.log = logging.getLogger("pip._internal.req.req_install")  # the logger of pip's messages about each package
        self.heard = threading.Semaphore(0)
        self.wheels: list[dict[str, Any]] = []
        self.satisfied: dict[str, str] = {}  # the metadata directory of what satisfied a requirement, by name
        self.origins: dict[str, str] = {}  # by path
        self.is_interrupted = False
        self.is_installing = False  # true when pip installs the result; before, it installs build requirements
        self.users_copies: list[Any] = []  # arguments of `uninstall`, to be called after the installation
        self.is_elsewhere = False
        self.is_users = False  # with --user: pip itself installs there, and replaces what it finds
        self.replaces = False  # with --target, say, but to where the packages of the prefix are
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self.interrupt)
        signal.signal(signal.SIGUSR1, self.interrupt)  # also if SIGINT is ignored, as in a background job
        try:  # `Thread.start` would wait for ever for a thread that has too little memory to begin
            _thread.start_new_thread(self.listen, ())
        except RuntimeError as error:  # there is no memory for its stack
            raise MemoryError(str(error)) from error

    def stand_in(self) -> None:
        """Replace the functions of pip that are named at the top of this file, and older ones that do the same."""
        wheel: Any = importlib.import_module("pip._internal.operations.install.wheel")
        command: Any = importlib.import_module("pip._internal.commands.install")
        requirement: Any = importlib.import_module("pip._internal.req.req_install")
        self.error = importlib.import_module("pip._internal.exceptions").InstallationError
        self.indent_log = importlib.import_module("pip._internal.utils.logging").indent_log
        self.pips_run = command.InstallCommand.run
        self.pips_install_given_reqs = command.install_given_reqs
        self.pips_install_wheel = wheel.install_wheel
        self.pips_uninstall = requirement.InstallRequirement.uninstall
        command.InstallCommand.run = lambda *arguments: self.run(*arguments)
        command.install_given_reqs = self.install_given_reqs
        requirement.InstallRequirement.uninstall = lambda *args, **options: self.uninstall(*args, **options)
        wheel.install_wheel = self.install_wheel
        preparer: Any = importlib.import_module("pip._internal.operations.prepare").RequirementPreparer
        self.pips_prepare_installed: Any = getattr(preparer, "prepare_installed_requirement", None)
        if self.pips_prepare_installed:
            preparer.prepare_installed_requirement = lambda *args, **options: self.prepare_installed(*args, **options)
        for name in ("install_wheel", "install_legacy", "install_editable_legacy"):  # until pip 26.2, 23.0, 25.2
            if hasattr(requirement, name):
                setattr(requirement, name, self.install_wheel if name == "install_wheel" else self.refuse)

    def listen(self) -> None:
        """Read the answers of the parent. Interrupt pip when the pipe is closed, because then nobody would install the
        wheels, or when an answer is invalid, because then pip would wait for ever."""
        try:
            for line in self.answers:
                self.answer = json.loads(line)
                self.heard.release()
        finally:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    def interrupt(self, number: int, frame: Any) -> None:
        """Interrupt pip as Ctrl-C does. After that, SIGUSR1 does nothing, so that pip can clean up."""
        if number == signal.SIGUSR1 and self.is_interrupted:
            return
        self.is_interrupted = True
        raise KeyboardInterrupt

    def ask(self, what: str, **question: Any) -> None:
        """Send a request to the parent and wait for its answer. If it refuses, raise pip's `InstallationError`."""
        self.questions.write(json.dumps({"do": what, **question}) + "\n")
        self.questions.flush()
        self.heard.acquire()
        if self.answer.get("again"):
            logging.disable(logging.CRITICAL)  # the parent prints the reason
        if not self.answer.get("ok"):
            raise self.error(self.answer.get("error", ""))

    # --- what stands in for parts of pip ------------------------------------------------------------------------------

    def run(self, command: Any, options: Any, arguments: list[str]) -> int:
        is_told = options.use_user_site is None and self.is_for_user_only(options)  # pip has said why
        if is_told:
            options.use_user_site = True
        given = {
            "--user": options.use_user_site or None,
            "--target": options.target_dir,
            "--root": options.root_path,
            "--prefix": options.prefix_path,
        }
        paths = {name: in_hex(str(value)) for name, value in given.items() if value is not None}
        self.is_elsewhere = bool(paths)
        self.is_users = set(paths) == {"--user"}
        is_dry = getattr(options, "dry_run", False)
        if paths:
            self.ask("elsewhere", options=paths, quiet=is_dry or is_told)
            self.replaces = self.answer["replaces"]
            if not self.replaces:
                return int(self.pips_run(command, options, arguments))
        elif getattr(options, "use_pep517", True) is None:
            options.use_pep517 = True  # makes wheels of setup.py projects, too
        if self.constraints:
            options.constraints.append(self.constraints)
        run = self.dry_run if is_dry and self.report else self.pips_run
        try:
            status = int(run(command, options, arguments))
        except Exception as error:
            unresolved = type(error).__name__ == "DistributionNotFound"
            # for example, metadata vanished while pip read them; with --target and so on, pip itself may have done that
            unexpected = not isinstance(error, self.error) and not self.is_elsewhere
            if unresolved or unexpected:
                self.ask("failed", unresolved=unresolved)
            raise
        if status and not self.is_elsewhere:  # an OSError, which pip has told of
            self.ask("failed", unresolved=False)
        return status

    def is_for_user_only(self, options: Any) -> bool:
        """Whether pip takes the user's directory, because the user may not write to the prefix."""
        decide = getattr(importlib.import_module("pip._internal.commands.install"), "decide_user_install", None)
        return decide is not None and decide(
            None,
            prefix_path=options.prefix_path,
            target_dir=options.target_dir,
            root_path=options.root_path,
            isolated_mode=options.isolated_mode,
        )

    def dry_run(self, command: Any, options: Any, arguments: list[str]) -> int:
        """Run `pip install --dry-run`, and tell the parent what would be installed, which pip's report says."""
        destination = options.json_report_file
        directory = tempfile.mkdtemp()
        try:
            options.json_report_file = os.path.join(directory, "report.json")
            status = int(self.pips_run(command, options, arguments))
            if os.path.exists(options.json_report_file):
                self.pass_on(options.json_report_file, destination)
            return status
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def pass_on(self, path: str, destination: str | None) -> None:
        """Copy pip's report from `path` to where the user wants it, if anywhere, and tell the parent what it says."""
        with open(path, encoding="utf-8") as f:
            text = f.read()
        if destination == "-":
            print(text, flush=True)
        elif destination:
            try:
                with open(destination, "w", encoding="utf-8") as f:
                    f.write(text)
            except OSError as error:
                sentence = f"the report {destination} cannot be written ({error.strerror}); name another file"
                raise self.error(sentence) from error
        items = []
        for each in json.loads(text)["install"]:
            archive = each["download_info"].get("archive_info") or {}
            digest = (archive.get("hashes") or {}).get("sha256", "")
            items.append([each["metadata"]["name"], each["metadata"]["version"], digest])
        self.ask("would", items=items)

    def install_given_reqs(self, requirements: list[Any], *arguments: Any, **options: Any) -> Any:
        if self.replaces and self.report:  # before pip itself changes them one by one
            self.ask("would", items=[[each.name, version_of(each), digest_of(each)] for each in requirements])
        self.is_installing = True
        self.origins = {each.local_file_path: origin_of(each) for each in requirements}
        try:
            results = self.pips_install_given_reqs(requirements, *arguments, **options)
        finally:
            self.is_installing = False
        if not self.is_elsewhere:
            self.ask("install", items=self.wheels, satisfied=self.satisfied)
        if self.wheels:
            for requirement, more, how in self.users_copies:
                removed = self.pips_uninstall(requirement, *more, **how)
                if removed:
                    removed.commit()
            sys.meta_path.insert(0, Closed())
            self.tell(self.answer["replaced"])
        return results

    def tell(self, replaced: list[list[str]]) -> None:
        """Log pip's messages about the distributions that were `replaced`."""
        for name, version in replaced:
            with self.indent_log(), self.indent_log():
                self.log.info("Found existing installation: %s %s", name, version)
                self.log.info("Uninstalling %s-%s:", name, version)
                with self.indent_log():
                    self.log.info("Successfully uninstalled %s-%s", name, version)

    def install_wheel(self, name: str, path: str, scheme: Any, *arguments: Any, **options: Any) -> None:
        if self.is_elsewhere or not self.is_installing:
            self.pips_install_wheel(name, path, scheme, *arguments, **options)
            return
        direct_url = options["direct_url"]
        self.wheels.append(
            {
                "path": in_hex(os.path.abspath(path)),
                "origin": self.origins.get(path, ""),
                "library": in_hex(scheme.purelib),
                "headers": in_hex(scheme.headers),
                "direct_url": direct_url and json.loads(direct_url.to_json()),  # since pip 26, more than to_dict()
                "requested": bool(options["requested"]),
                "compile": bool(options.get("pycompile", True)),
            }
        )

    def prepare_installed(self, preparer: Any, requirement: Any, *arguments: Any, **options: Any) -> Any:
        directory = getattr(getattr(requirement, "satisfied_by", None), "info_location", None)  # since pip 21.3
        if directory and requirement.name:
            self.satisfied[requirement.name] = in_hex(str(directory))
        return self.pips_prepare_installed(preparer, requirement, *arguments, **options)

    def refuse(self, *arguments: Any, **options: Any) -> None:
        raise self.error("this pip would run setup.py, which writes no exact list of its files; use a newer pip")

    def uninstall(self, requirement: Any, *arguments: Any, **options: Any) -> Any:
        if self.is_users or self.replaces or not self.is_installing:
            return self.pips_uninstall(requirement, *arguments, **options)
        directory, version = find_installed(requirement.name)
        if directory and is_users(directory):
            self.users_copies.append((requirement, arguments, options))  # `sys.path` has it before the new one
        elif directory and is_outside(directory):
            self.log.info("Found existing installation: %s %s", requirement.name, version)
            self.log.info("Not uninstalling %s at %s, outside environment %s", requirement.name, directory, sys.prefix)
            self.log.info("Can't uninstall '%s'. No files were found to uninstall.", requirement.name)
        return None  # the transaction removes what is replaced; what is not (--target and so on) stays


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        if not lacks_memory(error):
            raise
        sys.exit("sage-wheels: error: there is too little memory to run pip; free some and run the command again")
