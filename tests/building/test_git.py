"""Git sees in the copy of a source tree what it sees in the tree, and no byte of the repository changes."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building import BuildOptions, build_wheel, parse_source
from sage_wheels.building.source.replica import copy_source_tree
from support import trees

pytestmark = [pytest.mark.skipif(shutil.which("git") is None, reason="there is no git"), pytest.mark.once]

Git = Callable[..., str]
Make = Callable[[Path, Git], Path]
MakeProject = Callable[..., Path]
ReadWheel = Callable[[str], dict[str, bytes]]


@pytest.fixture
def git(monkeypatch: pytest.MonkeyPatch) -> Git:
    """Run git in a directory, without anybody's configuration; what it says on standard output."""
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "a")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "a@example.org")
    for name, value in {"COUNT": "1", "KEY_0": "protocol.file.allow", "VALUE_0": "always"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)

    def run(directory: Path | str, *arguments: str, check: bool = True) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, errors="replace", check=False)
        assert not check or done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    return run


QUESTIONS = (
    "diff-index --name-status HEAD",  # does not look again at what seems to have changed; so it comes first
    "diff-files --name-status",
    "describe --tags --always --dirty",
    "status --porcelain",
    "rev-parse HEAD",
    "rev-parse --abbrev-ref HEAD",
    "rev-parse --show-prefix",
    "ls-files --stage",
    "ls-files --others --exclude-standard",
    "submodule status",
    "archive --format=tar HEAD",
    "log --oneline",
)


def what_git_says(git: Git, directory: Path | str) -> dict[str, str]:
    return {question: git(directory, *question.split(), check=False) for question in QUESTIONS}


def project(at: Path) -> Path:
    (at / "pkg").mkdir(parents=True)
    (at / "docs" / "deep").mkdir(parents=True)
    for name in ("pkg/a.py", "docs/deep/page", "VERSION", "empty"):
        (at / name).write_text("" if name == "empty" else f"{name}\n")
    (at / "script").write_text("#!/bin/sh\n")
    (at / "script").chmod(0o755)
    (at / "almost").write_text("x")
    (at / "almost").chmod(0o654)
    (at / "dangling").symlink_to("nowhere")
    (at / "up").symlink_to("../elsewhere")
    (at / "absolute").symlink_to(at / "pkg")
    (at / ".gitignore").write_text("__pycache__/\n/ignored/\n/generated\n")
    return at


def commit(git: Git, at: Path, *init: str) -> Path:
    git(at, "init", "-q", *init)
    git(at, "add", "-A")
    git(at, "commit", "-qm", "x")
    git(at, "tag", "v1.0")
    return at


def clone(tmp: Path, git: Git) -> Path:
    commit(git, project(tmp / "origin"))
    git(tmp, "clone", "-q", "origin", "tree")
    return tmp / "tree"


def shallow(tmp: Path, git: Git) -> Path:
    commit(git, project(tmp / "origin"))
    git(tmp, "clone", "-q", "--depth=1", f"file://{tmp}/origin", "tree")
    return tmp / "tree"


def with_alternates(tmp: Path, git: Git) -> Path:
    commit(git, project(tmp / "origin"))
    git(tmp, "clone", "-q", "--shared", "origin", "tree")
    return tmp / "tree"


def submodule(tmp: Path, git: Git) -> Path:
    commit(git, project(tmp / "origin"))
    git(tmp, "init", "-q", "super")
    git(tmp / "super", "submodule", "-q", "add", f"{tmp}/origin", "sub")
    git(tmp / "super", "commit", "-qm", "x")
    git(tmp / "super/sub", "fetch", "-q", "--tags")
    assert (tmp / "super/sub/.git").read_text().startswith("gitdir: ../")
    return tmp / "super/sub"


def tree_with_submodules(tmp: Path, git: Git) -> Path:
    return submodule(tmp, git).parent


def worktree(tmp: Path, git: Git) -> Path:
    commit(git, project(tmp / "origin"))
    git(tmp / "origin", "worktree", "add", "-q", "-b", "other", f"{tmp}/tree")
    return tmp / "tree"


def worktree_of_bare(tmp: Path, git: Git) -> Path:
    commit(git, project(tmp / "origin"))
    git(tmp, "clone", "-q", "--bare", "origin", "bare.git")
    git(tmp / "bare.git", "worktree", "add", "-q", "-b", "other", f"{tmp}/tree")
    return tmp / "tree"


def monorepo(tmp: Path, git: Git, *init: str) -> Path:
    """A subdirectory of a subdirectory, with tracked and ignored things on each level."""
    root = project(tmp / "mono")
    project(root / "bindings" / "python")
    project(root / "bindings" / "c [x]*?")
    project(root / "#lib")
    commit(git, root, *init)
    for place in ("ignored", "bindings/__pycache__", "pkg/__pycache__"):
        (root / place).mkdir()
        (root / place / "something").touch()
    (root / "generated").touch()
    return root / "bindings" / "python"


def odd_names(tmp: Path, git: Git) -> Path:
    """What a file may be called in the tree, and a directory beside it, whether git tracks or ignores that."""
    root = project(tmp / "mono")
    tree = project(root / "tree")
    for name in (b"a\nb", b"a\r", b"\xff\xfe", b" a", b"a ", b"a\t", b"#a", b"!a", b"*", b"?", b"a\\", b'"', b":a"):
        for directory in (root, root / "ignored", tree):
            where = os.path.join(os.fsencode(directory), name)
            os.makedirs(where)
            os.close(os.open(os.path.join(where, name), os.O_CREAT))
        os.symlink(b"ignored/" + name, os.path.join(os.fsencode(root), b"untracked" + name))
    (root / ".gitignore").write_text("/ignored/\n/untracked*\n")
    return commit(git, root) / "tree"


def sparse(tmp: Path, git: Git) -> Path:
    tree = monorepo(tmp, git)
    git(tree, "sparse-checkout", "set", "bindings/python", "docs")
    return tree


def sparse_index(tmp: Path, git: Git) -> Path:
    tree = monorepo(tmp, git)
    git(tree, "sparse-checkout", "set", "--sparse-index", "bindings/python", "docs")
    return tree


def sparse_by_hand(tmp: Path, git: Git) -> Path:
    tree = monorepo(tmp, git)
    root = tree.parent.parent
    git(root, "config", "core.sparseCheckout", "true")
    (root / ".git/info/sparse-checkout").write_text("/bindings/python/\n/docs/\n/VERSION\n")
    git(root, "read-tree", "-mu", "HEAD")
    return tree


def sha256(tmp: Path, git: Git) -> Path:
    return commit(git, project(tmp / "tree"), "--object-format=sha256")


def index_version_4(tmp: Path, git: Git) -> Path:
    tree = commit(git, project(tmp / "tree"))
    git(tree, "config", "index.version", "4")
    git(tree, "update-index", "--index-version", "4")
    return tree


def split_index(tmp: Path, git: Git) -> Path:
    tree = commit(git, project(tmp / "tree"))
    git(tree, "config", "core.splitIndex", "true")
    git(tree, "update-index", "--split-index")
    (tree / "more").touch()
    git(tree, "add", "more")
    git(tree, "commit", "-qm", "more")
    return tree


def untracked_cache(tmp: Path, git: Git) -> Path:
    tree = commit(git, project(tmp / "tree"))
    git(tree, "update-index", "--force-untracked-cache")
    git(tree, "status")
    return tree


def fsmonitor(tmp: Path, git: Git) -> Path:
    tree = commit(git, project(tmp / "tree"))
    git(tree, "config", "core.fsmonitor", "/bin/false")
    git(tree, "update-index", "--fsmonitor")
    return tree


def lost_filter(tmp: Path, git: Git) -> Path:
    """As with git-lfs that is not installed any more: what is unchanged is not filtered again."""
    tree = project(tmp / "tree")
    (tree / ".gitattributes").write_text("*.bin filter=x\n*.txt text eol=crlf\n")
    (tree / "a.bin").write_text("hello")
    (tree / "a.txt").write_bytes(b"a\r\nb\r\n")
    for path in (tree / "a.bin", tree / "a.txt"):
        os.utime(path, (1e9, 1e9))
    git(tree, "init", "-q")
    git(tree, "config", "filter.x.clean", "tr a-z A-Z")
    git(tree, "config", "filter.x.required", "true")
    commit(git, tree)
    git(tree, "config", "filter.x.clean", "false")
    return tree


def tracked_where_we_leave_out(tmp: Path, git: Git) -> Path:
    tree = project(tmp / "tree")
    for name in (
        "__pycache__/keep",
        ".venv/pyvenv.cfg",
        ".tox/py/keep",
        ".nox/keep",
        "build/lib/keep/keep",
        "build/temp.x/keep",
        "build/lib.x/link",
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    (tree / "build/lib.x/link").unlink()
    (tree / "build/lib.x/link").symlink_to("../lib/keep")
    return commit(git, tree)


def not_committed(tmp: Path, git: Git) -> Path:
    tree = project(tmp / "tree")
    git(tree, "init", "-q")
    return tree


def detached(tmp: Path, git: Git) -> Path:
    tree = commit(git, project(tmp / "tree"))
    git(tree, "checkout", "-q", "--detach")
    return tree


def conflict(tmp: Path, git: Git) -> Path:
    tree = commit(git, project(tmp / "tree"))
    git(tree, "checkout", "-qb", "other")
    for branch in ("other", "-"):
        git(tree, "checkout", "-q", branch)
        (tree / "VERSION").write_text(branch)
        git(tree, "commit", "-qam", branch)
    git(tree, "merge", "other", check=False)
    return tree


def told_not_to_look(tmp: Path, git: Git) -> Path:
    tree = commit(git, project(tmp / "tree"))
    git(tree, "config", "core.fileMode", "false")
    git(tree, "config", "core.trustctime", "false")  # the chmod below may come a second later
    git(tree, "update-index", "--assume-unchanged", "VERSION")
    git(tree, "update-index", "--skip-worktree", "pkg/a.py")
    (tree / "VERSION").write_text("2\n")
    (tree / "pkg/a.py").write_text("2\n")
    (tree / "empty").chmod(0o755)
    git(tree, "update-index", "-q", "--refresh")  # else diff-index calls it changed if the second has changed meanwhile
    return tree


def changed(tmp: Path, git: Git) -> Path:
    tree = commit(git, project(tmp / "tree"))
    (tree / "VERSION").write_text("2\n")
    (tree / "pkg/a.py").unlink()
    (tree / "new").touch()
    (tree / "pkg/added").touch()
    git(tree, "add", "pkg/added")
    return tree


def repository_within(tmp: Path, git: Git) -> Path:
    """One that the outer one ignores, as of what a build has fetched; and one in a link-like .git."""
    tree = commit(git, project(tmp / "tree"))
    commit(git, project(tree / "ignored"))
    return tree


def moved_git_directory(tmp: Path, git: Git) -> Path:
    tree = project(tmp / "tree")
    return commit(git, tree, f"--separate-git-dir={tmp}/elsewhere.git")


def linked_git_directory(tmp: Path, git: Git) -> Path:
    tree = commit(git, project(tmp / "tree"))
    (tree / ".git").rename(tmp / "real.git")
    (tree / ".git").symlink_to("../real.git")
    return tree


def line_break_in_its_path(tmp: Path, git: Git) -> Path:
    """What git says of where it is takes more lines then."""
    root = project(tmp / "a\nb")
    project(root / "python")
    return commit(git, root) / "python"


def subdirectory_of_worktree(tmp: Path, git: Git) -> Path:
    tree = monorepo(tmp, git)
    git(tree, "worktree", "add", "-q", "-b", "other", f"{tmp}/worktree")
    return tmp / "worktree/bindings/python"


def beside_a_submodule(tmp: Path, git: Git) -> Path:
    """The tree is a subdirectory, and a submodule is checked out beside it; another one is not, and one is in it."""
    commit(git, project(tmp / "origin"))
    root = monorepo(tmp, git).parent.parent
    for place in ("external/one", "external/two", "bindings/python/within"):
        git(root, "submodule", "-q", "add", f"{tmp}/origin", place)
    git(root, "commit", "-qam", "submodules")
    git(root, "tag", "v2.0")
    git(root, "submodule", "-q", "deinit", "external/two")
    return root / "bindings/python"


def in_a_subdirectory_of_a_submodule(tmp: Path, git: Git) -> Path:
    return submodule(tmp, git) / "docs"


def with_reftables(tmp: Path, git: Git) -> str:
    """Of clones and worktrees, too; since Git 2.45."""
    if "--ref-format" not in git(tmp, "init", "-h", check=False):
        pytest.skip("this git knows no reftables")
    return "--ref-format=reftable"


def reftables(tmp: Path, git: Git) -> Path:
    return commit(git, project(tmp / "tree"), with_reftables(tmp, git))


def reftables_above(tmp: Path, git: Git) -> Path:
    return monorepo(tmp, git, with_reftables(tmp, git))


def reftables_of_worktree(tmp: Path, git: Git) -> Path:
    git(reftables(tmp, git), "worktree", "add", "-q", "-b", "other", f"{tmp}/worktree")
    return tmp / "worktree"


def reftables_above_in_worktree(tmp: Path, git: Git) -> Path:
    git(reftables_above(tmp, git), "worktree", "add", "-q", "-b", "other", f"{tmp}/worktree")
    return tmp / "worktree/bindings/python"


CLEAN: list[Make] = [
    *(
        clone,
        shallow,
        with_alternates,
        submodule,
        tree_with_submodules,
        worktree,
        worktree_of_bare,
        monorepo,
        odd_names,
    ),
    *(sparse, sparse_index, sparse_by_hand, sha256, index_version_4, split_index, untracked_cache, fsmonitor),
    *(lost_filter, tracked_where_we_leave_out, detached, told_not_to_look, repository_within, moved_git_directory),
    *(linked_git_directory, line_break_in_its_path, subdirectory_of_worktree, beside_a_submodule),
    *(in_a_subdirectory_of_a_submodule, reftables, reftables_above, reftables_of_worktree, reftables_above_in_worktree),
]


@pytest.mark.parametrize("make", [*CLEAN, not_committed, conflict, changed])
def test_git_sees_in_the_copy_what_it_sees_in_the_tree(make: Make, tmp_path: Path, git: Git) -> None:
    tree = make(tmp_path, git)
    before = trees.snapshot(tmp_path)
    copy = copy_source_tree(str(tree), str(tmp_path / "place"))
    seen = what_git_says(git, copy.path)
    shutil.rmtree(tmp_path / "place")
    after = trees.snapshot(tmp_path)
    assert {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)} == set()
    told = what_git_says(git, tree)
    if make is beside_a_submodule:  # in the copy, those beside the tree are links, at which git does not look
        told["submodule status"] = "".join(
            each for each in told["submodule status"].splitlines(True) if "../" not in each
        )
    assert seen == told
    if make in CLEAN:
        assert "dirty" not in seen["describe --tags --always --dirty"]
        assert seen["diff-index --name-status HEAD"] == ""
    assert (copy.notes, copy.unreadable) == ([], [])


@pytest.mark.parametrize("where", ["pkg/a.py", "VERSION", "bindings/c [x]*?/VERSION"])
@pytest.mark.parametrize("how", ["change", "delete"])
def test_what_was_changed_beside_the_tree_is_changed_for_the_build(
    where: str, how: str, tmp_path: Path, git: Git
) -> None:
    tree = monorepo(tmp_path, git)
    beside = tree.parent.parent / where
    if how == "change":
        beside.write_text("changed")
    else:
        beside.unlink()
    copy = copy_source_tree(str(tree), str(tmp_path / "place"))
    assert git(copy.path, "describe", "--tags", "--dirty") == "v1.0-dirty\n"
    assert git(copy.path, "diff-index", "--name-only", "HEAD") == f"{where}\n"


def test_the_git_directory_is_no_copy_of_the_objects_and_can_be_read_by_hand(tmp_path: Path, git: Git) -> None:
    tree = clone(tmp_path, git)
    head = git(tree, "rev-parse", "HEAD").strip()
    own = Path(copy_source_tree(str(tree), str(tmp_path / "place")).path) / ".git"
    assert own.is_dir()
    assert (own / "objects").is_symlink()
    branch = (own / "HEAD").read_text().removeprefix("ref: ").strip()
    assert (own / branch).read_text().strip() == head


def test_the_backend_may_ask_git_of_what_the_tree_is_a_submodule_of(tmp_path: Path, git: Git) -> None:
    tree = submodule(tmp_path, git)
    git(tree.parent, "tag", "super-1")
    copy = copy_source_tree(str(tree), str(tmp_path / "place"))
    above = Path(copy.path).parent
    assert git(above, "describe", "--tags", "--dirty") == "super-1\n"
    assert git(above, "status", "--porcelain") == ""
    (Path(copy.path) / "VERSION").write_text("changed")
    assert git(above, "describe", "--tags", "--dirty") == "super-1-dirty\n"


def test_what_the_backend_changes_is_changed(tmp_path: Path, git: Git) -> None:
    copy = Path(copy_source_tree(str(clone(tmp_path, git)), str(tmp_path / "place")).path)
    content = (copy / "VERSION").read_text()
    (copy / "VERSION").write_text(content.swapcase())
    assert git(copy, "describe", "--tags", "--dirty") == "v1.0-dirty\n"


def test_what_was_only_touched_is_not_changed(tmp_path: Path, git: Git) -> None:
    tree = commit(git, project(tmp_path / "tree"))
    for seconds, name in enumerate(("VERSION", "pkg/a.py")):
        os.utime(tree / name, (10**9 + seconds, 10**9 + seconds))
    copy = copy_source_tree(str(tree), str(tmp_path / "place"))
    assert git(copy.path, "diff-index", "--name-only", "HEAD") == ""


def test_git_warns_of_nothing_beside_the_tree(tmp_path: Path, git: Git) -> None:
    """As it would of a .gitignore that is a link."""
    copy = copy_source_tree(str(monorepo(tmp_path, git)), str(tmp_path / "place"))
    asked = subprocess.run(["git", "status"], cwd=copy.path, capture_output=True, text=True, check=True)
    assert asked.stderr == ""


def test_a_tree_that_its_repository_ignores_is_no_part_of_it(tmp_path: Path, git: Git) -> None:
    root = commit(git, project(tmp_path / "root"))
    tree = project(root / "ignored" / "tree")
    copy = copy_source_tree(str(tree), str(tmp_path / "place"))
    assert git(copy.path, "rev-parse", "HEAD", check=False) == ""
    new = project(root / "new")
    assert git(copy_source_tree(str(new), str(tmp_path / "place-2")).path, "describe", "--tags") == "v1.0\n"


def test_what_cannot_be_read_is_not_called_deleted(tmp_path: Path, git: Git, ordinary: list[str]) -> None:
    tree = project(tmp_path / "tree")
    os.utime(tree / "VERSION", (1e9, 1e9))
    commit(git, tree)
    (tree / "VERSION").chmod(0)
    git(tree, "update-index", "--refresh")  # as root may
    (tree / "docs").chmod(0)
    program = (
        "import sys; from sage_wheels.building.source.replica import copy_source_tree;"
        "copy = copy_source_tree(*sys.argv[1:]); print(copy.path, sorted(copy.unreadable))"
    )
    command = [*ordinary, sys.executable, "-c", program, str(tree), str(tmp_path / "place")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    path, _, unreadable = said.strip().partition(" ")
    assert unreadable == repr([f"{tree}/VERSION", f"{tree}/docs"])
    ask = [*ordinary, "git", "diff-index", "--name-only", "HEAD"]
    seen = [
        subprocess.run(ask, cwd=place, capture_output=True, text=True, check=False).stdout for place in (tree, path)
    ]
    assert "VERSION" not in seen[0]
    assert seen[1] == ""  # where git may not even look for docs/deep/page, it is not sure
    (tree / "docs").chmod(0o755)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")
def test_a_repository_that_git_refuses_is_named_and_nothing_of_it_is_used(tmp_path: Path, git: Git) -> None:
    tree = commit(git, project(tmp_path / "tree"))
    for path in (tree, tree / ".git"):
        os.chown(path, 65534, 65534)
    assert git(tree, "status", check=False) == ""
    copy = copy_source_tree(str(tree), str(tmp_path / "place"))
    assert (Path(copy.path) / "VERSION").exists()
    assert not (Path(copy.path) / ".git").exists()
    assert [note for note in copy.notes if f"safe.directory {tree}" in note] == copy.notes
    assert len(copy.notes) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")
def test_the_repository_around_the_tree_is_the_one_that_is_named(
    tmp_path: Path, git: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the message says to run helps."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "settings"))
    top = tmp_path / "with a blank"
    tree = project(top / "tree")
    commit(git, top)
    for path in (top, top / ".git"):
        os.chown(path, 65534, 65534)
    (note,) = copy_source_tree(str(tree), str(tmp_path / "place")).notes
    command = shlex.split(note.split("'", 1)[1].rpartition("'")[0])
    git(tree, *command[1:])
    assert copy_source_tree(str(tree), str(tmp_path / "again")).notes == []


def test_no_hook_of_the_user_is_run(tmp_path: Path, git: Git) -> None:
    tree = commit(git, project(tmp_path / "tree"))
    hook = tree / ".git/hooks/post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hook-was-run\n")
    hook.chmod(0o755)
    (tree / "VERSION").touch()
    copy_source_tree(str(tree), str(tmp_path / "place"))
    assert not (tmp_path / "hook-was-run").exists()
    git(tree, "update-index", "--refresh")
    assert (tmp_path / "hook-was-run").exists(), "the hook would have been seen"


@pytest.mark.parametrize("make", [clone, submodule, worktree, monorepo, moved_git_directory])
def test_without_git_nothing_is_asked(make: Make, tmp_path: Path, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = make(tmp_path, git)
    head = git(tree, "rev-parse", "HEAD")
    before = trees.snapshot(tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        copy = copy_source_tree(str(tree), str(tmp_path / "place"))
    assert copy.notes == []
    assert (Path(copy.path) / "VERSION").exists()
    assert git(copy.path, "rev-parse", "HEAD") == head
    shutil.rmtree(tmp_path / "place")
    assert trees.snapshot(tmp_path) == before


@pytest.mark.parametrize("content", ["", "gitdir: ../nowhere\n"])
def test_a_git_file_that_leads_nowhere_is_a_file(content: str, tmp_path: Path, git: Git) -> None:
    tree = project(tmp_path / "tree")
    (tree / ".git").write_text(content)
    copy = copy_source_tree(str(tree), str(tmp_path / "place"))
    assert (Path(copy.path) / ".git").read_text() == content


def test_a_directory_called_git_that_is_none_is_copied(tmp_path: Path, git: Git) -> None:
    tree = project(tmp_path / "tree")
    (tree / ".git" / "some").mkdir(parents=True)
    (tree / ".git" / "some" / "file").write_text("x")
    copy = copy_source_tree(str(tree), str(tmp_path / "place"))
    assert (Path(copy.path) / ".git" / "some" / "file").read_text() == "x"


def test_variables_that_name_another_repository_do_not_count(
    tmp_path: Path, git: Git, monkeypatch: pytest.MonkeyPatch, make_project: MakeProject, read_wheel: ReadWheel
) -> None:
    """As in a hook of git's."""
    other = commit(git, project(tmp_path / "other"))
    ask = "subprocess.check_output(['git', 'describe', '--tags', '--dirty'], text=True)"
    tree = make_project(hook=f"import subprocess; content['seen'] = {ask}")
    commit(git, tree)
    git(tree, "tag", "-a", "-m", "x", "v2.0")
    git(tree, "tag", "-d", "v1.0")
    before = trees.snapshot(tmp_path)
    for name, value in {"DIR": f"{other}/.git", "WORK_TREE": f"{other}", "INDEX_FILE": f"{other}/.git/index"}.items():
        monkeypatch.setenv(f"GIT_{name}", value)
    monkeypatch.setenv("GIT_GLOB_PATHSPECS", "1")
    options = BuildOptions(cache_dir=str(tmp_path / "cache"))
    built = build_wheel(parse_source(str(tree)), wheel_dir=tmp_path / "dist", options=options)
    assert read_wheel(built.path)["seen"] == b"v2.0\n"
    for name in ("cache", "dist"):
        shutil.rmtree(tmp_path / name)
    assert trees.snapshot(tmp_path) == before


def test_a_repository_that_holds_the_cache_is_not_found_from_a_build(
    tmp_path: Path, git: Git, make_project: MakeProject, read_wheel: ReadWheel
) -> None:
    root = commit(git, project(tmp_path / "root"))
    ask = "subprocess.run(['git', 'rev-parse', 'HEAD'], capture_output=True, text=True).stdout"
    tree = make_project(hook=f"import subprocess; content['seen'] = {ask}")
    options = BuildOptions(cache_dir=str(root / "cache"))
    built = build_wheel(parse_source(str(tree)), wheel_dir=tmp_path / "dist", options=options)
    assert read_wheel(built.path)["seen"] == b""


def test_settings_of_the_repository_hold_in_the_copy(tmp_path: Path, git: Git) -> None:
    """With settings for each worktree, where the original is checked out stands among them."""
    tree = submodule(tmp_path, git)
    git(tree, "config", "extensions.worktreeConfig", "true")
    git(tree, "config", "some.setting", "here")
    git(tree, "config", "--worktree", "other.setting", "there")
    copy = copy_source_tree(str(tree), str(tmp_path / "place"))
    assert git(copy.path, "rev-parse", "--show-toplevel").strip() == os.path.realpath(copy.path)
    assert git(copy.path, "config", "some.setting") == "here\n"
    assert git(copy.path, "config", "other.setting") == "there\n"
    assert git(copy.path, "describe", "--tags", "--dirty") == "v1.0\n"


GIT_FILES = [
    ".gitignore",
    "../.gitmodules",
    ".gitattributes",
    "package/.gitignore",
    "../.gitignore",
    "../.git/info/exclude",
    "../.git/info/attributes",
    "../.git/HEAD",
    "../.git/config",
    "../.git/index",
    "../.git/packed-refs",
    "../.git/shallow",
    "../.git/commondir",
    "../.git/refs/heads/main",
    "../.git/refs/tags/deep/er",
    "../.git/objects/info/alternates",
    "../.git/objects/pack/pack-1.idx",
    "../.git/MERGE_HEAD",
]


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [os.mkfifo, _device], ids=["pipe", "device"])
@pytest.mark.parametrize("name", GIT_FILES)
def test_git_does_not_wait_for_a_pipe_or_a_device(
    tmp_path: Path, git: Git, name: str, make: Callable[[Path], None]
) -> None:
    """Git would wait for ever; a build without git does not need what it reads."""
    top = tmp_path / "top"
    tree = project(top / "tree")
    (tree / "package").mkdir(exist_ok=True)
    commit(git, top)
    (tree / name).unlink(missing_ok=True)
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    make(tree / name)
    copy = copy_source_tree(str(tree), str(tmp_path / "place"))
    assert (Path(copy.path) / "VERSION").exists()
    assert copy.refused
    (note,) = copy.notes
    assert os.path.normpath(tree / name) in note
    assert ("a named pipe" in note) == (make is os.mkfifo)
    assert not list(Path(copy.path).parent.glob("**/.git"))


def test_git_does_not_wait_for_a_pipe_in_a_directory_that_is_elsewhere(tmp_path: Path, git: Git) -> None:
    """A linked worktree has a git directory of its own, and one that it shares."""
    top = project(tmp_path / "top")
    commit(git, top)
    git(top, "worktree", "add", "-q", tmp_path / "linked")
    for name in ("worktrees/linked/index", "info/exclude"):
        path = top / ".git" / name
        path.parent.mkdir(exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        (note,) = copy_source_tree(str(tmp_path / "linked"), str(tmp_path / name.replace("/", "-"))).notes
        assert str(path) in note
        path.unlink()
        path.write_bytes(content)


@pytest.mark.parametrize("name", [".gitignore", "../.git/info/exclude", "../.git/index.lock", "../.git/a.ipc"])
def test_what_git_can_read_or_does_not_is_no_reason_to_leave_it_out(
    tmp_path: Path, git: Git, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/dev/null is an empty file, a socket cannot be opened; the daemon of git itself has one."""
    top = tmp_path / "top"
    tree = project(top / "tree")
    commit(git, top)
    (tree / name).unlink(missing_ok=True)
    if name.endswith((".ipc", ".lock")):
        monkeypatch.chdir((tree / name).parent)  # the path of a socket must be short
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(os.path.basename(name))
    else:
        (tree / name).symlink_to("/dev/null")
    copy = copy_source_tree(str(tree), str(tmp_path / "place"))
    assert copy.notes == []
    assert list(Path(copy.path).parent.glob("**/.git"))
