"""The order in which sage-make-packages builds packages, with a real make and a Makefile that is made like Sage's."""

from __future__ import annotations

import doctest
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.modules import loaded

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")

LEAVES = [f"leaf{number}" for number in range(12)]
CHAIN = ["gast", "beniget", "cython", "fonttools"]
ALL = ["base", *CHAIN, *LEAVES]
# As Sage's: the rule of each package comes from a template, and its recipe calls make for PACKAGE-TREE-no-deps.
MAKEFILE = """\
SHELL = /bin/sh
MAKE_REC = $(MAKE:-j%=) --no-print-directory
SAGE_VENV = $(abspath ../..)/venv
NAMES = base gast beniget cython fonttools LEAVES unwanted always last
deps_base = | venv
deps_gast = base
deps_beniget = gast | base
deps_cython = | beniget
deps_fonttools = | cython
deps_unwanted = base
deps_always = cython FORCE
deps_last = always
$(foreach name,LEAVES,$(eval deps_$(name) = base))
inst_venv = $(SAGE_VENV)/installed/venv-3
$(foreach name,$(NAMES),$(eval inst_$(name) = $(SAGE_VENV)/installed/$(name)-1.0))
$(SAGE_VENV)/installed:
	mkdir -p $@
$(inst_venv): | $(SAGE_VENV)/installed
	echo begin venv >> $(SAGE_VENV)/order
	touch $@
all-build: toolchain-deps
	+$(MAKE_REC) all-sage
all-sage: $(foreach name,$(filter-out unwanted,$(NAMES)),$(inst_$(name)))
toolchain-deps:
	+@for target in $(inst_base); do echo $(MAKE_REC) $$target; $(MAKE_REC) $$target; done
define templ
$$(SAGE_VENV)/installed/$(1)-1.0: $(foreach dep,$(deps_$(1)),$(if $(value inst_$(dep)),$$(inst_$(dep)),$(dep)))
	+$(MAKE_REC) $(1)-SAGE_VENV-no-deps

$(1): $$(SAGE_VENV)/installed/$(1)-1.0

$(1)-SAGE_VENV-no-deps:
	+@sh ../recipe $(1) '$$(SAGE_VENV)'

.PHONY: $(1) $(1)-SAGE_VENV-no-deps
endef
$(foreach name,$(NAMES),$(eval $(call templ,$(name))))
FORCE:
.PHONY: all-build all-sage toolchain-deps
""".replace("LEAVES", " ".join(LEAVES))
RECIPE = """\
case "${MAKEFLAGS%% *}" in *[nq]*) exit ;; esac  # as sage-spkg
echo "begin $1" >>"$2/order"
sleep "${SECONDS_EACH:-0.1}"
case " $FAIL " in *" $1 "*) exit 1 ;; esac
touch "$2/installed/$1-1.0"
echo "end $1" >>"$2/order"
"""


class Tree:
    """A tree of Sage, as far as make is concerned."""

    def __init__(self, root: Path, checkout: Path) -> None:
        self.root = root
        self.make_directory = root / "build/make"
        self.make_directory.mkdir(parents=True)
        (root / "venv").mkdir()
        for name in ("bin", "lib"):
            (root / "build" / name).symlink_to(checkout / "build" / name)
        (root / "build/sage-wheels").mkdir()
        (self.make_directory / "Makefile").write_text(MAKEFILE)
        (root / "build/recipe").write_text(RECIPE)
        # The shell knows where the script is by its name, so this one stands for the links.
        self.script = f"{root}/build/bin/sage-make-packages"

    def start(self, *goals: str, make: str = "make -j2", ours: bool = True, **more: str) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        environment |= {"MAKE": make, "PATH": f"{self.root}/build/bin:{os.environ['PATH']}", **more}
        return subprocess.Popen(
            [*([self.script] if ours else make.split()), *goals],
            cwd=self.make_directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *goals: str, make: str = "make -j2", ours: bool = True, status: int = 0, **more: str) -> str:
        process = self.start(*goals, make=make, ours=ours, **more)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == status, output
        return output

    @property
    def lines(self) -> list[str]:
        order = self.root / "venv/order"
        return order.read_text().splitlines() if order.exists() else []

    @property
    def begun(self) -> list[str]:
        """What was begun, in that order."""
        return [line.removeprefix("begin ") for line in self.lines if line.startswith("begin ")]

    @property
    def most_at_once(self) -> int:
        running, most = 0, 0
        for line in self.lines:
            running += (line.startswith("begin ") and line != "begin venv") - line.startswith("end ")
            most = max(most, running)
        return most

    def forget(self) -> None:
        shutil.rmtree(self.root / "venv")
        (self.root / "venv").mkdir()


@pytest.fixture
def tree(tmp_path: Path, checkout: Path) -> Tree:
    return Tree(tmp_path / "tree", checkout)


def test_each_link_of_the_longest_chain_begins_when_the_one_before_has_ended(tree: Tree) -> None:
    goals = [*LEAVES, "fonttools"]
    tree.run(*goals, ours=False)
    assert tree.begun[-1] == "fonttools"  # make comes to it last: this is what the order is for
    assert tree.begun.index("beniget") > tree.begun.index(LEAVES[8])
    tree.forget()
    tree.run(*goals)
    assert sorted(tree.begun) == sorted(["venv", *ALL])  # each once, and nothing else
    assert tree.begun.index("cython") < tree.begun.index(LEAVES[8])
    for before, after in zip(["base", *CHAIN], CHAIN, strict=False):
        assert tree.lines.index(f"end {before}") < tree.lines.index(f"begin {after}")
    assert tree.most_at_once == 2


def test_all_packages_of_a_build_come_in_that_order_too(tree: Tree) -> None:
    output = tree.run("all-build")
    assert sorted(tree.begun) == sorted(["venv", *ALL, "always", "last"])
    assert tree.begun.index("cython") < tree.begun.index(LEAVES[8])
    assert tree.begun[-2:] == ["always", "last"]  # what is made each time, and what needs it, is left to make
    assert output.count("base-SAGE_VENV-no-deps") == 1


@pytest.mark.parametrize("make", ["make", "make -j1", "make -j8", "make -j", "make -j2 -s", "make -k -j3"])
def test_however_many_jobs_there_are_each_package_is_built_once(tree: Tree, make: str) -> None:
    tree.run(*LEAVES, "fonttools", make=make)
    assert sorted(tree.begun) == sorted(["venv", *ALL])
    assert tree.most_at_once <= {"make": 1, "make -j1": 1, "make -j2 -s": 2, "make -k -j3": 3}.get(make, len(ALL))


def test_the_jobs_are_those_of_a_make_above(tree: Tree) -> None:
    above = tree.root / "above.mk"
    above.write_text(f"all: one two\none:\n\t+@{tree.script} {' '.join(LEAVES)} fonttools\ntwo:\n\t@sleep 1\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment["MAKE"] = "make"
    command = ["make", "-j3", "-f", str(above)]
    subprocess.run(command, cwd=tree.make_directory, env=environment, check=True, capture_output=True, timeout=300)
    assert sorted(tree.begun) == sorted(["venv", *ALL])
    assert tree.most_at_once <= 3
    assert tree.begun.index("cython") < tree.begun.index(LEAVES[8])


@pytest.mark.parametrize("goals", [[*LEAVES, "fonttools"], ["all-build"]])
def test_what_fails_is_tried_once_and_with_k_everything_else_is_built(tree: Tree, goals: list[str]) -> None:
    output = tree.run(*goals, make="make -k -j2", status=2, FAIL="beniget leaf3")
    assert sorted(tree.begun) == sorted(["venv", "base", "gast", "beniget", *LEAVES])
    assert f"{tree.root}/venv/installed/beniget-1.0] Error 2" in output
    assert "not remade because of errors" in output
    tree.run(*goals, make="make -k -j2")
    assert sorted({*tree.begun} - {"always", "last"}) == sorted(["venv", *ALL])
    assert sorted(tree.begun.count(name) for name in ALL) == [1] * (len(ALL) - 2) + [2, 2]


def test_without_k_nothing_begins_after_a_failure(tree: Tree) -> None:
    output = tree.run(*LEAVES, "fonttools", status=2, FAIL="gast")
    assert "gast" in tree.begun
    assert len(tree.begun) <= 5
    assert f"{tree.root}/venv/installed/gast-1.0] Error 2" in output


def test_what_is_there_stays_and_what_is_newer_than_it_is_built_again(tree: Tree) -> None:
    goals = [*LEAVES, "fonttools"]
    tree.run(*goals)
    before = tree.lines
    tree.run(*goals)
    assert tree.lines == before
    later = time.time() + 1
    os.utime(tree.root / "venv/installed/gast-1.0", (later, later))
    tree.run(*goals, SECONDS_EACH="1.1")
    assert tree.begun[len(ALL) + 1 :] == ["beniget"]  # what needs it needs it to be there, not to be old


@pytest.mark.parametrize("make", ["make -n -j2", "make -q -j2"])
def test_make_that_only_looks_builds_nothing(tree: Tree, make: str) -> None:
    tree.run(*LEAVES, "fonttools", make=make, status=1 if "-q" in make else 0)
    assert "gast" not in tree.begun


def test_a_signal_ends_it_when_the_running_packages_have_ended(tree: Tree) -> None:
    process = tree.start(*LEAVES, "fonttools", SECONDS_EACH="0.5")
    while "gast" not in tree.begun:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode != 0
    begun = tree.begun
    time.sleep(0.7)
    assert tree.begun == begun
    assert len(begun) <= 5


def test_a_makefile_of_another_kind_is_left_to_make(tree: Tree) -> None:
    makefile = tree.make_directory / "Makefile"
    makefile.write_text(
        MAKEFILE.replace("+$(MAKE_REC) $(1)-SAGE_VENV-no-deps", "+$(MAKE_REC) build-of-$(1)").replace(
            "\n$(1)-SAGE_VENV-no-deps:", "\nbuild-of-$(1):"
        )
    )
    tree.run(*LEAVES, "fonttools")
    assert sorted(tree.begun) == sorted(["venv", *ALL])
    assert tree.begun[-1] == "fonttools"


def test_the_examples_in_it(checkout: Path) -> None:
    with loaded(checkout / "build/lib/longest_first.py") as module:
        assert doctest.testmod(module).failed == 0
