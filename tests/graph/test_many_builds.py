"""Promise 9: each source is built as soon as what it needs is there, and a failure costs only what depends on it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graph.conftest import Run, Workshop, wait_until_gone, wait_until_there
from sage_wheels.building.stored import keep_seconds, seconds_of
from sage_wheels.store.store import Store
from support.run import names, tool_environment
from support.run import tool as tool_command
from support.trees import make_prefix, snapshot
from support.wheels import make_wheel


def test_a_diamond(workshop: Workshop) -> None:
    """The top needs both sides, the sides need the bottom; the sources come in the wrong order."""
    top = workshop.project("top", requires=["left", "right"], imports=["left", "right", "bottom"])
    both = workshop.until_begun(3)
    left = workshop.project("left", requires=["bottom"], needs=["bottom"], imports=["bottom"], hook=both)
    right = workshop.project("right", requires=["bottom>=1"], imports=["bottom"], hook=both)
    bottom = workshop.project("bottom")
    run = workshop.build("-j2", top, left, right, bottom)
    assert run.done.returncode == 0, run.done.stderr
    events = workshop.events()
    assert events[:2] == ["begin bottom-1.0", "end bottom-1.0"]
    assert events[-2:] == ["begin top-1.0", "end top-1.0"]
    assert set(events[2:4]) == {"begin left-1.0", "begin right-1.0"}  # beside each other
    names = ["top", "left", "right", "bottom"]
    assert run.done.stdout == "".join(f"{workshop.wheels}/{name}-1.0-py3-none-any.whl\n" for name in names)


def test_what_a_build_requirement_needs_to_run(workshop: Workshop) -> None:
    """Known from its wheel only: `helper` needs `deep`, which needs `deeper`."""
    user = workshop.project("user", requires=["helper"], imports=["helper", "deep", "deeper"])
    helper = workshop.project("helper", needs=["deep[x]", 'absent; python_version < "3"'])
    deep = workshop.project("deep", needs=['deeper; extra == "x"'], seconds=0.3)
    deeper = workshop.project("deeper", seconds=0.6)
    run = workshop.build("-j4", user, helper, deep, deeper)
    assert run.done.returncode == 0, run.done.stderr
    assert workshop.events()[-2:] == ["begin user-1.0", "end user-1.0"]


def test_what_only_the_backend_says(workshop: Workshop) -> None:
    """get_requires_for_build_wheel names a source of this run, which is then built first."""
    asker = workshop.project("asker", asks=["answer"], imports=["answer"])
    answer = workshop.project("answer", seconds=0.5)
    run = workshop.build("-j2", asker, answer)
    assert run.done.returncode == 0, run.done.stderr
    assert workshop.events() == ["begin answer-1.0", "end answer-1.0", "begin asker-1.0", "end asker-1.0"]
    assert "asker 1.0: waits for what its backend requires: answer" in run.done.stderr


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_failure(workshop: Workshop, goes_on: bool) -> None:
    bad = workshop.project("bad", hook="print('the reason')\nraise SystemExit(1)")
    user = workshop.project("user", requires=["bad"])
    above = workshop.project("above", requires=["user"])
    other = workshop.project("other", requires=["first"])
    first = workshop.project("first", hook=workshop.until_said("bad 1.0: failed"))
    run = workshop.build("-j2", *(["-k"] if goes_on else []), bad, user, above, other, first)
    assert run.done.returncode == 1
    expected = {"bad": "failed", "user": "not tried", "above": "not tried", "first": "built"}
    assert run.statuses() == {**expected, "other": "built" if goes_on else "not tried"}
    assert run.outcomes["above"]["because_of"] == "bad"
    assert "the reason" in run.done.stderr
    assert Path(run.outcomes["bad"]["log"]).read_text().count("the reason") == 1
    assert "Traceback" not in run.done.stderr
    again = workshop.build("-j2", "-k", other, first)
    assert again.statuses() == {"other": "stored" if goes_on else "built", "first": "stored"}


def test_what_is_missing_is_looked_for_in_no_directory_of_ours(workshop: Workshop) -> None:
    """What only a backend asks for, and nobody has: the message names what people know."""
    one = workshop.project("one", asks=["nothere>=3"])
    run = workshop.build(one, workshop.project("other"))
    what = run.outcomes["one"]["what"]
    assert what.endswith("asks for nothere>=3, but there is no wheel of nothere in what this run has built")


def test_a_cycle_is_named_whole_with_what_would_break_it(workshop: Workshop) -> None:
    one = workshop.project("one", requires=["two"])
    two = workshop.project("two", requires=["three"])
    three = workshop.project("three", needs=["one"])
    other = workshop.project("other")
    run = workshop.build("-k", "-j2", one, two, three, other)
    assert run.done.returncode == 1
    assert run.statuses() == {"one": "failed", "two": "failed", "three": "built", "other": "built"}
    assert "one 1.0" in run.outcomes["two"]["what"] + run.outcomes["two"]["advice"]
    make_wheel(workshop.root, "two", "0.9", {"two.py": b""})
    mended = workshop.build("-j2", "--find-links", workshop.root, one, three, other)
    assert mended.done.returncode == 0, mended.done.stderr


COUNTING = """
import os, sys
def count(event, arguments):
    if event in ("os.fork", "os.posix_spawn", "subprocess.Popen"):
        os.write(log, event.encode() + b"\\n")
log = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
sys.addaudithook(count)
from sage_wheels.cli import main
sys.exit(main())
"""


def test_a_stack_comes_from_the_store_the_second_time(workshop: Workshop) -> None:
    """Also what only a backend asks for; whose source or build requirements change is built again, and nothing else."""
    top = workshop.project("top", requires=["side"], asks=["asked"], imports=["side", "asked"])
    side = workshop.project("side", requires=["bottom"], imports=["bottom"])
    asked = workshop.project("asked", seconds=0.5)
    bottom = workshop.project("bottom")
    stack = [top, side, asked, bottom]

    def run(number: int) -> tuple[Run, dict[str, bytes], int]:
        shutil.rmtree(workshop.wheels, ignore_errors=True)
        count = workshop.root / f"count{number}"
        run = workshop.build("-j2", *stack, program=["-c", COUNTING, str(count)])
        assert run.done.returncode == 0, run.done.stderr
        wheels = {each.name: each.read_bytes() for each in workshop.wheels.iterdir()}
        return run, wheels, len(count.read_text().splitlines())

    first, wheels, processes = run(1)
    assert set(first.statuses().values()) == {"built"}
    story = workshop.events()
    second, same, fewer = run(2)
    assert set(second.statuses().values()) == {"stored"}, second.done.stderr
    assert all(each["stored_seconds"] > 0 for each in second.outcomes.values())
    assert "4 from the store (their builds had taken " in second.done.stderr
    assert same == wheels
    assert fewer < processes
    assert workshop.events() == story
    (bottom / "hook.py").write_text((bottom / "hook.py").read_text() + "content['more.py'] = ''\n")
    third, _, _ = run(3)
    # the wheel of `side` became what it was: nothing has changed for `top`
    assert third.statuses() == {"top": "stored", "side": "built", "asked": "stored", "bottom": "built"}


def test_the_build_that_took_longest_begins_first(workshop: Workshop) -> None:
    """The store remembers how long each took, also where the source has changed since."""
    short = [workshop.project(f"short{number}") for number in range(3)]
    long = workshop.project("zlong", seconds=1.0)
    assert workshop.build("-j1", *short, long).done.returncode == 0
    assert workshop.events()[-1] == "end zlong-1.0"
    store = Store(str(workshop.root / "cache"))
    assert (seconds_of(store, "zlong") or 0) >= 1
    assert all(seconds_of(store, each.name.removesuffix("-1.0")) for each in short)
    keep_seconds(store, "zlong", 1000.0)  # who knows how long the others had to wait for a processor
    workshop.story.unlink()
    for each in (*short, long):
        (each / "new").touch()
    run = workshop.build("-j1", *short, long)
    assert set(run.statuses().values()) == {"built"}
    assert workshop.events()[0] == "begin zlong-1.0"


def test_what_is_not_to_be_had_is_named_before_anything_is_built(workshop: Workshop) -> None:
    good = workshop.project("good")
    lacking = workshop.project("lacking", requires=["nowhere>=2"])
    too_old = workshop.project("user", requires=["good>=2"])
    run = workshop.build(good, lacking, too_old)
    assert run.done.returncode == 1
    assert workshop.events() == []
    assert "nowhere>=2, which is not available" in run.outcomes["lacking"]["what"]
    assert "good>=2, which is not available" in run.outcomes["user"]["what"]


def test_a_source_wins_over_any_wheel(workshop: Workshop) -> None:
    """Also over a newer one, and over one that an earlier run left in the wheel directory."""
    for directory in (workshop.root, workshop.wheels):
        directory.mkdir(exist_ok=True)
        make_wheel(directory, "tool", "3.0", {"tool.py": b"version = '3.0'\n"})
    tool = workshop.project("tool", version="2.0")
    user = workshop.project("user", requires=["tool"], hook="import tool\nassert tool.version == '2.0', tool.version")
    run = workshop.build("--find-links", workshop.root, "--find-links", workshop.wheels, user, tool)
    assert run.done.returncode == 0, run.done.stderr
    newer = workshop.project("newer", requires=["tool>=3"], hook="import tool\nassert tool.version == '3.0'")
    run = workshop.build("--find-links", workshop.root, newer, tool)
    assert run.done.returncode == 0, run.done.stderr
    unseen = workshop.build("--find-links", workshop.wheels, newer, tool)
    assert "tool>=3, which is not available" in unseen.outcomes["newer"]["what"]
    bootstrap = workshop.build("--from-source", "--find-links", workshop.root, newer, tool)
    assert "tool>=3, which is not available" in bootstrap.outcomes["newer"]["what"]


def test_two_versions_of_one_project(workshop: Workshop) -> None:
    """Built side by side, each seen where it fits, the newest first."""
    both = workshop.until_begun(2)
    old, new = (workshop.project("tool", version=version, hook=both) for version in ("1.0", "2.0"))
    wants = "import tool\nassert tool.version == {!r}, tool.version"
    users = [
        workshop.project("any", requires=["tool"], hook=wants.format("2.0")),
        workshop.project("careful", requires=["tool<2"], hook=wants.format("1.0")),
    ]
    run = workshop.build("-j2", *users, old, new)
    assert run.done.returncode == 0, run.done.stderr
    assert set(workshop.events()[:2]) == {"begin tool-1.0", "begin tool-2.0"}


@pytest.mark.parametrize(("jobs", "most"), [("1", 1), ("3", 3)])
def test_at_most_so_many(workshop: Workshop, jobs: str, most: int) -> None:
    trees = [workshop.project(f"p{number}", hook=workshop.until_begun(most)) for number in range(6)]
    assert workshop.build("-j", jobs, *trees).done.returncode == 0
    assert workshop.most_at_once() == most


def test_the_longest_remaining_path_first(workshop: Workshop) -> None:
    chain = [workshop.project("c0")]
    chain += [workshop.project(f"c{number}", requires=[f"c{number - 1}"]) for number in range(1, 4)]
    others = [workshop.project(f"a{number}") for number in range(3)]
    assert workshop.build("-j1", *others, *chain[::-1]).done.returncode == 0
    begun = [event.split()[1].partition("-")[0] for event in workshop.events() if event.startswith("begin")]
    assert begun[:3] == ["c0", "c1", "c2"]


def test_slots(workshop: Workshop) -> None:
    trees = [workshop.project(name, seconds=0.3) for name in ("big", "s1", "s2", "s3", "all")]
    assert workshop.build("-j3", "--slots", "big=2", "--slots", "all=all", *trees).done.returncode == 0
    events = workshop.events()
    position = events.index("begin all-1.0")
    assert events[position + 1] == "end all-1.0"  # nothing beside it
    assert workshop.build("-j3", "--slots", "big", *trees).done.returncode == 2


def test_interrupted_and_gone_on(workshop: Workshop) -> None:
    quick, slow = workshop.project("quick"), workshop.project("slow", seconds=600)
    child = workshop.root / "child"
    hook = (
        "import subprocess\nstarted = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"open({str(child)!r}, 'w').write(str(started.pid))"
    )
    (slow / "hook.py").write_text(f"{hook}\n{(slow / 'hook.py').read_text()}")
    last = workshop.project("last", requires=["slow", "quick"])
    with subprocess.Popen(
        workshop.command("-j2", quick, slow, last), env=tool_environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        workshop.wait_for("begin slow-1.0")
        assert process.stderr
        for line in process.stderr:
            if line.startswith("quick 1.0: built in"):
                break
        wait_until_there(child)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 128 + signal.SIGINT, said
    assert f"sage-wheels: interrupted; 1 of 3 wheels are finished, and stay in {workshop.wheels} and the store" in said
    wait_until_gone(child)
    assert [each.name for each in workshop.wheels.iterdir()] == ["quick-1.0-py3-none-any.whl"]


def test_killed_builds_end_and_are_built_again(workshop: Workshop) -> None:
    """The tool itself is killed: what it had started ends, too, and the next run builds."""
    tree = workshop.project("slow", seconds=600)
    other = workshop.project("other")
    process = subprocess.Popen(workshop.command("-j2", tree, other), env=tool_environment(), stderr=subprocess.PIPE)
    workshop.wait_for("begin slow-1.0")
    process.kill()
    process.communicate()
    (tree / "hook.py").write_text("")
    start = time.monotonic()
    run = workshop.build("-j2", tree, other)  # waits for the build directory if the old builder still has it
    assert run.done.returncode == 0, run.done.stderr
    assert time.monotonic() - start < 500


def test_killed_for_memory_is_tried_once_more_alone(workshop: Workshop) -> None:
    mark = workshop.root / "mark"
    hook = (
        f"import os, signal\nif not os.path.exists({str(mark)!r}):\n"
        f"    open({str(mark)!r}, 'w').close()\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    hungry = workshop.project("hungry", hook=hook)
    others = [workshop.project(name, seconds=0.5) for name in ("one", "two")]
    run = workshop.build("-j3", hungry, *others)
    assert run.done.returncode == 0, run.done.stderr
    assert "hungry 1.0: was killed, perhaps because memory ran out; it is tried once more, alone" in run.done.stderr
    assert workshop.events()[-2:] == ["begin hungry-1.0", "end hungry-1.0"]
    always = workshop.project("always", hook="import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    run = workshop.build("-j3", always, *others)
    assert run.statuses()["always"] == "failed"
    assert workshop.events().count("begin always-1.0") == 2


def test_a_log_of_all(workshop: Workshop) -> None:
    trees = [workshop.project(name, hook=f"print('words of {name}')", seconds=0.1) for name in ("one", "two")]
    log = workshop.root / "log"
    assert workshop.build("-j2", "--log", log, *trees).done.returncode == 0
    text = log.read_text()
    assert text.count("words of one") == text.count("words of two") == 1


def test_under_make_the_pool_is_that_of_make(workshop: Workshop, tmp_path: Path) -> None:
    """`make -j3` allows three, whatever our own -j says."""
    trees = [workshop.project(f"p{number}", hook=workshop.until_begun(3)) for number in range(6)]
    command = " ".join(workshop.command("-j6", *trees))
    (tmp_path / "Makefile").write_text(f"all:\n\t+{command}\n")
    done = subprocess.run(
        ["make", "-j3", "-f", tmp_path / "Makefile"], capture_output=True, text=True, env=tool_environment(), cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert workshop.most_at_once() == 3


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_process_that_is_killed_is_said(workshop: Workshop) -> None:
    """Not the backend's, but that of the task itself."""
    hook = (
        "import os, signal\nos.kill(int(open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1]), 15)\n"
    )
    tree = workshop.project("victim", hook=hook + "import time; time.sleep(30)")
    run = workshop.build("-k", tree, workshop.project("other"))
    assert run.statuses()["other"] == "built"
    assert run.statuses()["victim"] == "failed", run.done.stderr
    assert os.path.exists(workshop.wheels / "other-1.0-py3-none-any.whl")


def test_an_installation_of_many_sources_is_one_transaction(workshop: Workshop, tmp_path: Path) -> None:
    """Also with `-k`: one source that is not built, and nothing is installed."""
    prefix = make_prefix(tmp_path)
    user = workshop.project("user", requires=["tool"], imports=["tool"])
    tool, bad = workshop.project("tool"), workshop.project("bad", hook="raise SystemExit(1)")
    options = ["install", "--prefix", prefix, "--cache-dir", workshop.root / "cache", "-j2"]
    before = snapshot(prefix)
    done = tool_command(*map(str, options), "-k", user, bad, tool)
    assert done.returncode == 1
    assert snapshot(prefix) == before
    done = tool_command(*map(str, options), user, tool)
    assert done.returncode == 0, done.stderr
    assert names(prefix) == ["tool 1.0", "user 1.0"]
    (record,) = prefix.glob("lib/python*/site-packages/user-1.0.dist-info/direct_url.json")
    assert json.loads(record.read_text())["dir_info"] == {}
