"""A file system that loses power: what a recorded command may have left on the disk, at every instant.

`record` runs a command and notes what each of its operations did to the directories and files, and what was synced.
`states` makes of that the trees that may be found afterwards. The model is the weakest that POSIX allows: an operation
is atomic, and on the disk once a sync call that covers it has returned; of all others any may be lost, whatever came
after them, unless they are about the same directory entry. The content of a file that was not synced may be the old
one, the new one, nothing, or the first half. File systems with an ordered journal (ext4, XFS, btrfs) leave fewer
states; those, in which the operations up to some instant survive, are among the first to be tried.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sage_wheels.fs import syncing
from sage_wheels.transaction import journal
from support.trees import STATE

_CHANGING = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.utime"}
_CHANGING |= {"os.truncate", "sage_wheels.exchange"}

Key = tuple[int, str]  # a directory's inode and a name in it


class Node(NamedTuple):
    """What an inode holds: `content` is that of a file or the text of a link."""

    kind: int
    mode: int
    time: int
    content: bytes


class View(NamedTuple):
    """A directory tree: which inode each entry leads to, and what the inodes are."""

    entries: dict[Key, int]
    nodes: dict[int, Node]


class Event(NamedTuple):
    """What one operation did: entries changed (None: gone), inodes changed; or a sync of everything or of an inode."""

    entries: dict[Key, int | None]
    nodes: dict[int, Node]
    sync: int | None = None  # 0: the whole file system


class Trace(NamedTuple):
    """The recording of a command: the tree before it, its root's inode, and the events."""

    before: View
    root: int
    events: list[Event]


def look(root: str) -> View:
    view = View({}, {})
    pending = [root]
    while pending:
        directory = pending.pop()
        status = os.lstat(directory)
        above = status.st_ino
        view.nodes[above] = Node(stat.S_IFDIR, stat.S_IMODE(status.st_mode), status.st_mtime_ns, b"")
        with os.scandir(directory) as scan:
            for entry in scan:
                view.entries[above, entry.name] = entry.inode()
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    view.nodes[entry.inode()] = _leaf(entry)
    return view


def _leaf(entry: os.DirEntry[str]) -> Node:
    status = entry.stat(follow_symlinks=False)
    kind = stat.S_IFMT(status.st_mode)
    content = os.fsencode(os.readlink(entry.path)) if kind == stat.S_IFLNK else Path(entry.path).read_bytes()
    return Node(kind, stat.S_IMODE(status.st_mode), status.st_mtime_ns, content)


class _Recorder:
    def __init__(self, root: str, *, exchange: bool) -> None:
        self.root = root
        self.exchange = exchange
        self.events: list[Event] = []
        self.last = self.before = look(root)
        self.busy = False

    def settle(self) -> None:
        """Note what has changed since the last time: the effect of the operation before this one."""
        self.busy = True
        now = look(self.root)
        entries: dict[Key, int | None] = {k: i for k, i in now.entries.items() if self.last.entries.get(k) != i}
        entries.update(dict.fromkeys(self.last.entries.keys() - now.entries.keys()))
        nodes = {i: node for i, node in now.nodes.items() if self.last.nodes.get(i) != node}
        if entries or nodes:
            self.events.append(Event(entries, nodes))
        self.last = now
        self.busy = False

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in _CHANGING and not self.busy:
            self.settle()
            if event == "sage_wheels.exchange" and not self.exchange:
                raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), args[0], None, args[1])

    def synced(self, inode: int) -> None:
        self.settle()
        self.events.append(Event({}, {}, inode))


def record(root: Path, action: Callable[[], object], *, exchange: bool = True) -> Trace:
    """Run `action` in a child process and record what it does below `root`, which is changed by it.

    Without `exchange`, the file system has no atomic exchange of two paths.
    """
    import pickle

    receive, send = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(receive)
            recorder = _Recorder(str(root), exchange=exchange)
            sys.addaudithook(recorder.audit)
            _watch_syncs(recorder)
            action()
            recorder.settle()
            recorder.busy = True
            with open(send, "wb") as f:
                pickle.dump(Trace(recorder.before, os.stat(root).st_ino, recorder.events), f)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(2)
        os._exit(0)
    os.close(send)
    with open(receive, "rb") as f:
        data = f.read()
    assert os.waitpid(pid, 0)[1] == 0
    trace: Trace = pickle.loads(data)
    return trace


def _watch_syncs(recorder: _Recorder) -> None:
    real = os.fsync

    def fsync(fd: int) -> None:
        real(fd)
        recorder.synced(os.fstat(fd).st_ino)

    def sync_file_system(path: str) -> None:
        recorder.synced(0)

    os.fsync = fsync  # type: ignore[assignment]
    syncing.sync_file_system = sync_file_system


def states(trace: Trace, samples: int, numbers: random.Random) -> Iterator[tuple[int, View]]:
    """The trees that losing power after each of the events may leave, at most `samples` of each; with its number."""
    base, pending = trace.before, list[Event]()
    for number in range(len(trace.events) + 1):
        seen = set()
        for chosen in _choices(len(pending), samples, numbers):
            survivors = [pending[index] for index in _closed(pending, chosen)]
            view = _apply(base, survivors)
            view = _with_torn_contents(view, base, pending, numbers)
            key = hash((frozenset(view.entries.items()), frozenset(view.nodes.items())))
            if key not in seen:
                seen.add(key)
                yield number, view
        if number < len(trace.events):
            event = trace.events[number]
            if event.sync is None:
                pending.append(event)
            else:
                base, pending = _sync(base, pending, event.sync)


def _choices(count: int, samples: int, numbers: random.Random) -> Iterator[set[int]]:
    """Which of `count` operations survive: all sets of few, of more the likeliest ones and a sample."""
    everything = set(range(count))
    if 1 << count <= samples:
        for bits in range(1 << count):
            yield {index for index in everything if bits >> index & 1}
        return
    yield everything
    yield set()
    for index in numbers.sample(range(count), min(count, samples // 4)):
        yield set(range(index))  # an ordered journal
        yield everything - {index}
        yield {index}
    for _ in range(samples // 4):
        share = numbers.random()
        yield {index for index in everything if numbers.random() < share}


def _closed(pending: list[Event], chosen: set[int]) -> list[int]:
    """`chosen` and what it cannot be without: what was done before to the same entries, or in a directory that went."""
    wanted: set[Key] = set()
    gone: set[int] = set()
    result = []
    for index in range(len(pending) - 1, -1, -1):
        entries = pending[index].entries
        needed = not wanted.isdisjoint(entries) or any(directory in gone for directory, _ in entries)
        if entries and (index in chosen or needed):
            result.append(index)
            wanted.update(entries)
            gone.update(_removed(pending, index))
    result += [index for index in chosen if not pending[index].entries]
    return sorted(result)


def _removed(pending: list[Event], index: int) -> set[int]:
    """The inodes that lose an entry by this event and get none."""
    entries = pending[index].entries
    if any(inode is not None for inode in entries.values()):
        return set()
    before: dict[Key, int] = {}
    for event in pending[:index]:
        before.update({key: inode for key, inode in event.entries.items() if inode is not None})
    return {before[key] for key in entries if key in before}


def _apply(base: View, events: list[Event]) -> View:
    view = View(dict(base.entries), dict(base.nodes))
    for event in events:
        for key, inode in event.entries.items():
            if inode is None:
                view.entries.pop(key, None)
            else:
                view.entries[key] = inode
        view.nodes.update(event.nodes)
    return view


def _with_torn_contents(view: View, base: View, pending: list[Event], numbers: random.Random) -> View:
    """Every file that was written since the last sync with one of the contents that it may have."""
    last: dict[int, Node] = {}
    for event in pending:
        last.update(event.nodes)
    for inode, node in last.items():
        if node.kind == stat.S_IFREG:
            old = base.nodes[inode].content if inode in base.nodes else b""
            content = numbers.choice([node.content, old, b"", node.content[: len(node.content) // 2]])
            view.nodes[inode] = node._replace(content=content)
        elif inode not in view.nodes:
            view.nodes[inode] = node  # an entry that survives has its inode, at least
    return view


def _sync(base: View, pending: list[Event], inode: int) -> tuple[View, list[Event]]:
    """What is certain after a sync of everything, or of the file or the directory `inode`; and what is left open."""
    if not inode:
        return _apply(base, pending), []
    chosen = {index for index, event in enumerate(pending) if any(above == inode for above, _ in event.entries)}
    certain = set(_closed(pending, chosen))
    done = [pending[index]._replace(nodes={}) for index in sorted(certain)]
    nodes = [Event({}, {inode: event.nodes[inode]}) for event in pending if inode in event.nodes]
    new = [Event({}, {i: n for i, n in event.nodes.items() if n.kind != stat.S_IFREG}) for event in pending]
    left = [event._replace(entries={}) if index in certain else event for index, event in enumerate(pending)]
    left = [event._replace(nodes={i: n for i, n in event.nodes.items() if i != inode}) for event in left]
    return _apply(base, [*done, *new, *nodes]), [event for event in left if event.entries or event.nodes]


def materialise(view: View, root: int, destination: Path) -> None:
    """Write the tree out, and tell the journals in it, if there are any, which inodes its directories have now."""
    shutil.rmtree(destination, ignore_errors=True)
    made: dict[int, str] = {}
    directories: list[tuple[str, Node]] = []
    below: dict[int, list[tuple[str, int]]] = {}
    for (above, name), inode in view.entries.items():
        below.setdefault(above, []).append((name, inode))
    pending = [(root, str(destination))]
    while pending:
        inode, path = pending.pop()
        node = view.nodes[inode]
        if node.kind == stat.S_IFDIR:
            os.mkdir(path)
            directories.append((path, node))
            pending += [(each, f"{path}/{name}") for name, each in below.get(inode, ())]
        elif node.kind == stat.S_IFLNK:
            os.symlink(os.fsdecode(node.content), path)
        elif inode in made:
            os.link(made[inode], path)
        else:
            Path(path).write_bytes(node.content)
            os.chmod(path, node.mode)
            os.utime(path, ns=(node.time, node.time))
        made.setdefault(inode, path)
    for each in (destination / STATE / "journal", *(destination / STATE).glob("stage/*/copy")):
        _rename_inodes(each, made)
    for path, node in reversed(directories):
        os.chmod(path, node.mode)
        os.utime(path, ns=(node.time, node.time))


def _rename_inodes(path: Path, made: dict[int, str]) -> None:
    try:
        entry = journal.from_bytes(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return
    now = {old: os.lstat(where).st_ino for old, where in made.items()}
    steps = [
        step._replace(inode=now.get(step.inode, step.inode), old_inode=now.get(step.old_inode, step.old_inode))
        for step in entry.steps
    ]
    path.write_bytes(entry._replace(steps=steps, inode=now.get(entry.inode, entry.inode)).to_bytes())
