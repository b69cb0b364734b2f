"""Run by a target interpreter (`-c`): pip, which resolves, downloads and builds as ever, but does not install.

pip's own code runs up to the call that would change the environment; what it would then do with each wheel is told to
the process that started this one, which does it in one transaction and answers. All the rest, from options and
configuration to reports and exit statuses, is pip's. These inner parts of pip are relied on, and looked for before
anything begins: `pip._internal.commands.install.InstallCommand.run` and `.install_given_reqs`,
`pip._internal.operations.install.wheel.install_wheel`, `pip._internal.req.req_install.InstallRequirement.uninstall`.

The standard library only, of Python 3.7 and newer, for the Python of the prefix runs this. The one argument before
pip's is a JSON object: `pips` are directories and zip files to take pip from if this Python has none; unless `plain`,
`ask` and `answer` are the descriptors of the conversation, `constraints` is a file of more constraints or "", and
`report` says whether a dry run is to be told, too. Paths are in hexadecimal, here and in the conversation. This file is
never imported by the tool.
"""

from __future__ import annotations

import sys

if "" in sys.path:
    sys.path.remove("")  # `-c` puts it there, and nothing is imported from the current directory

import importlib
import importlib.util
import json
import logging
import os
import runpy
import shutil
import signal
import tempfile
import threading
from importlib.machinery import PathFinder
from typing import Any


def main() -> None:
    settings = json.loads(sys.argv[1])
    sys.argv[:] = ["pip", *sys.argv[2:]]
    os.environ["_PIP_RUNNING_IN_SUBPROCESS"] = "1"  # pip's word for: this is the Python that --python names
    pips = [from_hex(each) for each in settings["pips"]]
    if not (choose_pip if settings["plain"] else choose_known_pip)(pips):
        sys.exit("sage-wheels: error: there is no pip, or none that is known here; try: python3 -m ensurepip")
    if not settings["plain"]:
        # looking for a newer pip afterwards would import what has just been installed (CVE-2026-6357)
        os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        Conversation(settings).begin()
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


def in_hex(path: str) -> str:
    """The bytes of `path`, for the other process may decode and encode the names of files otherwise."""
    return os.fsencode(path).hex()


def from_hex(text: str) -> str:
    return os.fsdecode(bytes.fromhex(text))


class Redirect:
    """Finds the package `pip` in one place, and nothing else there."""

    def __init__(self, place: str) -> None:
        self.place = place

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return PathFinder.find_spec(name, [self.place]) if name == "pip" else None


class Closed:
    """Finds nothing but the standard library and pip: what has just been installed is for other processes."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        known = getattr(sys, "stdlib_module_names", None)  # Python 3.10 and newer
        if known and name.partition(".")[0] not in {"pip", *known}:
            raise ModuleNotFoundError(f"{name} is not imported after an installation", name=name)


def choose_pip(pips: list[str]) -> bool:
    """See to it that `import pip` finds one: the one of this Python if there is one."""
    if importlib.util.find_spec("pip") is None:
        if not pips:
            return False
        sys.meta_path.insert(0, Redirect(pips[0]))
    return True


def choose_known_pip(pips: list[str]) -> bool:
    """The same with the first pip whose inner parts are the known ones."""
    before = sys.meta_path[:]
    for place in ["", *pips]:
        sys.meta_path[:] = [Redirect(place), *before] if place else before
        try:
            if is_known():
                return True
        except Exception:  # whatever a damaged file ends in, NUL bytes or half a .pyc: that pip is no good
            pass
        for name in [name for name in sys.modules if name == "pip" or name.startswith("pip.")]:
            del sys.modules[name]
    return False


def is_known() -> bool:
    wheel = importlib.import_module("pip._internal.operations.install.wheel")
    command = importlib.import_module("pip._internal.commands.install")
    requirement = importlib.import_module("pip._internal.req.req_install").InstallRequirement
    return (
        callable(wheel.install_wheel)
        and callable(requirement.uninstall)
        and speaks_of(command.InstallCommand.run, "install_given_reqs")
        and speaks_of(requirement.install, "install_wheel")
    )


def speaks_of(function: Any, name: str) -> bool:
    """Whether the code of `function`, below its decorators, uses `name`."""
    inner = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    names = getattr(getattr(function, "__code__", None), "co_names", ())
    return name in names or any(speaks_of(each, name) for each in inner if callable(each))


def version_of(requirement: Any) -> str:
    """The version of what pip is about to install: that of the wheel, or of the tree of an old setup.py."""
    path = requirement.local_file_path or ""
    return os.path.basename(path).split("-")[1] if path.endswith(".whl") else str(requirement.get_dist().version)


class Conversation:
    """Stands where pip would install: tells the other process what is to be done, and hears how that went."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.constraints = from_hex(settings["constraints"])
        self.report = settings["report"]
        for descriptor in (settings["ask"], settings["answer"]):
            os.set_inheritable(descriptor, False)  # backends have no business there
        self.questions = os.fdopen(settings["ask"], "w", encoding="utf-8")
        self.answers = os.fdopen(settings["answer"], encoding="utf-8")
        self.answer: dict[str, Any] = {}
        self.heard = threading.Semaphore(0)
        self.wheels: list[dict[str, Any]] = []
        self.is_elsewhere = False
        self.is_users = False  # into the user's directory, in which pip replaces what it finds
        self.replaces = False  # to where the packages of the prefix are, after all

    def begin(self) -> None:
        wheel: Any = importlib.import_module("pip._internal.operations.install.wheel")
        command: Any = importlib.import_module("pip._internal.commands.install")
        requirement: Any = importlib.import_module("pip._internal.req.req_install")
        self.error = importlib.import_module("pip._internal.exceptions").InstallationError
        self.pips_run = command.InstallCommand.run
        self.pips_install_given_reqs = command.install_given_reqs
        self.pips_install_wheel = wheel.install_wheel
        self.pips_uninstall = requirement.InstallRequirement.uninstall
        command.InstallCommand.run = lambda *arguments: self.run(*arguments)
        command.install_given_reqs = self.install_given_reqs
        requirement.InstallRequirement.uninstall = lambda *args, **options: self.uninstall(*args, **options)
        wheel.install_wheel = self.install_wheel
        for name in ("install_wheel", "install_legacy", "install_editable_legacy"):  # until pip 26.2, 23.0, 25.2
            if hasattr(requirement, name):
                setattr(requirement, name, self.install_wheel if name == "install_wheel" else self.refuse)
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        """Hear the answers; and end this process when the other one has ended, for nobody would install then."""
        for line in self.answers:
            self.answer = json.loads(line)
            self.heard.release()
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM if ignored else signal.SIGINT)

    def ask(self, what: str, **question: Any) -> None:
        self.questions.write(json.dumps({"do": what, **question}) + "\n")
        self.questions.flush()
        self.heard.acquire()
        if self.answer.get("again"):
            logging.disable(logging.CRITICAL)  # the other process says what there is to say
        if not self.answer.get("ok"):
            raise self.error(self.answer.get("error", ""))

    # --- what stands in for parts of pip ------------------------------------------------------------------------------

    def run(self, command: Any, options: Any, arguments: list[str]) -> int:
        given = {
            "--user": options.use_user_site or None,
            "--target": options.target_dir,
            "--root": options.root_path,
            "--prefix": options.prefix_path,
        }
        places = {name: in_hex(str(value)) for name, value in given.items() if value is not None}
        self.is_elsewhere = bool(places)
        self.is_users = set(places) == {"--user"}
        is_dry = getattr(options, "dry_run", False)
        if places:
            self.ask("elsewhere", options=places, dry=is_dry)
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
            # such as that metadata vanished while pip read them; elsewhere, it may be pip itself that changed things
            unexpected = not isinstance(error, self.error) and not self.is_elsewhere
            if unresolved or unexpected:
                self.ask("failed", unresolved=unresolved)
            raise
        if status and not self.is_elsewhere:  # an OSError, which pip has told of
            self.ask("failed", unresolved=False)
        return status

    def dry_run(self, command: Any, options: Any, arguments: list[str]) -> int:
        goal = options.json_report_file
        directory = tempfile.mkdtemp()
        try:
            options.json_report_file = os.path.join(directory, "report.json")
            status = int(self.pips_run(command, options, arguments))
            if os.path.exists(options.json_report_file):
                self.pass_on(options.json_report_file, goal)
            return status
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def pass_on(self, path: str, goal: str | None) -> None:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        if goal == "-":
            print(text, flush=True)
        elif goal:
            try:
                with open(goal, "w", encoding="utf-8") as f:
                    f.write(text)
            except OSError as error:
                sentence = f"the report {goal} cannot be written ({error.strerror}); name another place"
                raise self.error(sentence) from error
        found = [each["metadata"] for each in json.loads(text)["install"]]
        self.ask("would", items=[[each["name"], each["version"]] for each in found])

    def install_given_reqs(self, requirements: list[Any], *arguments: Any, **options: Any) -> Any:
        if self.replaces and self.report:  # before pip itself changes them one by one
            self.ask("would", items=[[each.name, version_of(each)] for each in requirements])
        results = self.pips_install_given_reqs(requirements, *arguments, **options)
        if self.wheels:
            self.ask("install", items=self.wheels)
            sys.meta_path.insert(0, Closed())
        return results

    def install_wheel(self, name: str, path: str, scheme: Any, *arguments: Any, **options: Any) -> None:
        if self.is_elsewhere:
            self.pips_install_wheel(name, path, scheme, *arguments, **options)
            return
        direct_url = options["direct_url"]
        self.wheels.append(
            {
                "path": in_hex(os.path.abspath(path)),
                "library": in_hex(scheme.purelib),
                "direct_url": direct_url and json.loads(direct_url.to_json()),  # since pip 26, more than to_dict()
                "requested": bool(options["requested"]),
                "compile": bool(options.get("pycompile", True)),
            }
        )

    def refuse(self, *arguments: Any, **options: Any) -> None:
        raise self.error("this pip would run setup.py, which leaves no exact record; use a newer pip")

    def uninstall(self, requirement: Any, *arguments: Any, **options: Any) -> Any:
        if self.is_users or self.replaces:
            return self.pips_uninstall(requirement, *arguments, **options)
        return None  # what is replaced goes in the same transaction, or stays if the new one goes elsewhere


if __name__ == "__main__":
    main()
