"""`sage_wheels.installed.files`: RECORD is believed only as far as it makes sense."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sage_wheels.errors import NotRemovable
from sage_wheels.installed import Distribution, files, find
from sage_wheels.installed.record import Row
from sage_wheels.prefix import Prefix, find_prefix
from support.trees import make_prefix, site_packages, snapshot
from support.wheels import record_row

LIBRARY = "lib/python{}.{}/site-packages".format(*sys.version_info)


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    return find_prefix(make_prefix(tmp_path))


def distribution(prefix: Prefix, *rows: str, data: bytes | None = None) -> Distribution:
    """A distribution `d` 1 with these rows in its RECORD."""
    dist_info = site_packages(prefix.root) / "d-1.dist-info"
    dist_info.mkdir(exist_ok=True)
    (dist_info / "RECORD").write_bytes(data if data is not None else "".join(f"{row}\n" for row in rows).encode())
    return find(prefix, "d")[0]


@pytest.mark.parametrize(
    "row",
    [
        *(
            "./",
            ".",
            "..",
            "../",
            "../..",
            "../../..",
            "/",
            "//",
            "d/",
            "../../../../x",
            "../../../../../../etc/passwd",
        ),
        *(
            "/etc/passwd",
            "../../../bin/python",
            "../../../bin/python3",
            "../../../pyvenv.cfg",
            "../../../bin/../pyvenv.cfg",
        ),
        *("../os.py", "../lib-dynload/x.so", "../../../var/lib/sage-wheels/lock", "../../../var/lib/sage-wheels"),
        *("../../../var/lib/sage-wheels/stage/1/x", "../../../out/x", "../site-packages/../os.py", "link-out/x"),
        f"../../../bin/python{sys.version_info[0]}.{sys.version_info[1]}",
    ],
)
def test_rows_that_no_distribution_can_own(tmp_path: Path, prefix: Prefix, row: str) -> None:
    (tmp_path / "outside").mkdir()
    (Path(prefix.root) / "out").symlink_to(tmp_path / "outside")
    (site_packages(prefix.root) / "link-out").symlink_to("../../../../outside")
    found = files.owned(prefix, distribution(prefix, f"{row},,", "d.py,,"))
    assert found.ignored == [row]
    assert found.rows.keys() == {f"{LIBRARY}/d.py", f"{LIBRARY}/d-1.dist-info/RECORD"}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("d.py", f"{LIBRARY}/d.py"),
        ("./d.py", f"{LIBRARY}/d.py"),
        ("a/../d.py", f"{LIBRARY}/d.py"),
        ("../../../bin/tool", "bin/tool"),
        ("../../../bin/ipython3", "bin/ipython3"),
        ("../../../share/x", "share/x"),
        ("../../../lib64/x", "lib/x"),
    ],
)
def test_rows_in_one_form(prefix: Prefix, row: str, expected: str) -> None:
    (Path(prefix.root) / "lib64").symlink_to("lib")
    found = files.owned(prefix, distribution(prefix, f"{row},sha256=x,3"))
    assert found.ignored == []
    assert found.rows[expected] == Row(row, "sha256=x", 3)


def test_absolute_rows_inside_the_prefix(prefix: Prefix) -> None:
    found = files.owned(prefix, distribution(prefix, f"{prefix.root}/bin/tool,,"))
    assert "bin/tool" in found.rows


@pytest.mark.parametrize("data", [None, b"\xff", b'"', b"a,b,c,d\n"])
def test_a_record_that_cannot_be_read(prefix: Prefix, data: bytes | None) -> None:
    one = distribution(prefix, data=data or b"")
    if data is None:
        os.unlink(prefix.path(f"{one.path}/RECORD"))
    with pytest.raises(NotRemovable) as caught:
        files.owned(prefix, one)
    assert prefix.path(f"{one.path}/RECORD") in str(caught.value)
    assert "\n" not in str(caught.value)


def row_of(content: str) -> Row:
    path, digest, size = record_row("f", content).split(",")
    return Row(path, digest, int(size))


def test_states(prefix: Prefix) -> None:
    root = Path(prefix.root)
    row = row_of("hello")
    assert files.state_of(prefix, "f", row) == "missing"
    assert files.state_of(prefix, "pyvenv.cfg/f", row) == "missing"
    (root / "f").write_text("hello")
    assert files.state_of(prefix, "f", row) == "same"
    assert files.state_of(prefix, "f", row._replace(digest=row.digest + "=")) == "same"
    assert files.state_of(prefix, "f", Row("f")) == "same"
    for unknown in ("nosuch=x", "shake_128=x", "shake_256=x", "sha256"):
        assert files.state_of(prefix, "f", Row("f", unknown)) == "same"
    assert files.state_of(prefix, "f", Row("f", "md5=XUFAKrxLKna5cZ2REBfFkg")) == "same"
    assert files.state_of(prefix, "f", Row("f", "md5=x")) == "changed"
    (root / "f").write_text("jello")
    assert files.state_of(prefix, "f", row) == "changed"
    (root / "f").write_text("longer than that")
    assert files.state_of(prefix, "f", row) == "changed"
    (root / "f").unlink()
    (root / "f").symlink_to("g")
    (root / "g").write_text("hello")
    assert files.state_of(prefix, "f", row) == "changed"
    (root / "f").unlink()
    (root / "f").mkdir()
    assert files.state_of(prefix, "f", row) == "changed"
    assert files.state_of(prefix, "f", Row("f")) == "changed"


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_unreadable(prefix: Prefix) -> None:
    path = Path(prefix.root) / "f"
    path.write_text("hello")
    path.chmod(0)
    assert files.state_of(prefix, "f", row_of("hello")) == "unreadable"


def test_owning_reads_only(prefix: Prefix) -> None:
    one = distribution(prefix, "d.py,,", "../../../x,,")
    before = snapshot(prefix.root)
    files.owned(prefix, one)
    assert snapshot(prefix.root) == before


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a/__pycache__/m.cpython-311.pyc", "a/m.py"),
        ("__pycache__/m.cpython-311.opt-2.pyc", "m.py"),
        ("a/__pycache__/m.x.cpython-311.pyc", "a/m.x.py"),
        ("a/__pycache__/test_m.cpython-311-pytest-9.2.0.pyc", "a/test_m.py"),
        ("a/__pycache__/test_m.pypy310-pytest-8.0.0.dev1.pyc", "a/test_m.py"),
        ("a/__pycache__/m.cpython-311.pyc.139876543210", "a/m.py"),
        ("a/__pycache__/m.cpython-311.opt-2.pyc.1", "a/m.py"),
        ("a/__pycache__/m.other12.opt-2.pyc.1", "a/m.py"),
        ("a/__pycache__/m.pyc.other12.pyc", "a/m.pyc.py"),
        ("a/__pycache__/m.cpython-311.pyc.orig", None),
        ("a/__pycache__/m.cpython-311.pyc.", None),
        ("a/__pycache__/.cpython-311.pyc", None),
        ("a/__pycache__/m.pyc", None),
        ("a/__pycache__/m.cpython-311.pyo", None),
        ("a/m.cpython-311.pyc", None),
        ("a/__pycache__/x/m.cpython-311.pyc", None),
        ("a/m.py", None),
    ],
)
def test_source_of_bytecode(path: str, source: str | None) -> None:
    assert files.source_of_bytecode(path) == source
