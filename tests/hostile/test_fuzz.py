"""Whatever bytes the readers get, they read them or refuse them in one sentence; no other exception, nothing outside.

Here each target gets a few hundred inputs, the same ones every time. `nox -s fuzz` gives each of them new ones for as
long as FUZZ_SECONDS says, and prints the seed of every round; FUZZ_SEED repeats one.

Promise 5.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import shutil
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
from hypothesis import strategies as st

from sage_wheels.archive.sdist_members import SdistLimits
from sage_wheels.archive.unpack import unpack_sdist
from sage_wheels.errors import SageWheelsError, WheelRefused
from sage_wheels.installed import record
from sage_wheels.metadata import headers
from sage_wheels.prefix.finding import find_prefix
from sage_wheels.prefix.locator import Locator
from sage_wheels.prefix.model import Prefix
from sage_wheels.transaction import journal
from sage_wheels.transaction.journal import Journal, Step
from sage_wheels.wheel.image import Request, write_images
from sage_wheels.wheel.wheel import Wheel
from support.chance import seed
from support.trees import make_prefix, snapshot
from support.wheels import make_wheel
from support.zips import Entry, zip_bytes

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
EXAMPLES = 150
NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)


def drive(strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Check examples: always the same ones, or others and others for as long as the environment says."""

    def body(example: Any) -> None:
        check(example)

    usual = hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not SECONDS,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    if not SECONDS:
        usual(hypothesis.given(strategy)(body))()
        return
    end = time.monotonic() + SECONDS
    for number in itertools.count(seed("FUZZ_SEED")):
        if time.monotonic() > end:
            break
        print(f"FUZZ_SEED={number}", flush=True)
        hypothesis.settings(usual, max_examples=1000)(hypothesis.seed(number)(hypothesis.given(strategy)(body)))()


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` with up to six pieces overwritten, inserted, left out or doubled."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        size = draw(st.sampled_from([1, 2, 4, 8, 30, 512]))
        kind = draw(st.integers(0, 5))
        if kind == 0:
            data[at : at + size] = draw(st.binary(max_size=size))
        elif kind == 1:
            data[at:at] = draw(st.binary(max_size=size))
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size]
        elif kind == 4:
            data[at : at + size] = (draw(st.sampled_from(NUMBERS)) & (1 << 8 * size) - 1).to_bytes(size, "little")
        else:
            del data[at:]
    return bytes(data)


names = st.text(st.sampled_from("ab/.\\-~ \0\n\x7f\u2028\u00e9\udc80:"), max_size=12).map(
    lambda text: text.encode("utf-8", "surrogateescape")
)
number = st.one_of(st.sampled_from([n for n in NUMBERS if n <= 0xFFFFFFFF]), st.integers(0, 300))
fields = st.dictionaries(st.sampled_from(["crc", "compressed", "size", "offset"]), number, max_size=2)
entries = st.builds(
    Entry,
    st.one_of(names, st.sampled_from([b"x.py", b"x-1.dist-info/RECORD", b"x-1.dist-info/WHEEL"])),
    st.binary(max_size=40),
    st.sampled_from([0, 8, 8, 99]),
    st.sampled_from([0o100644, 0o100755, 0o120777, 0o040755, 0, 0o010644]),
    local=fields.map(lambda given: {key: value for key, value in given.items() if key != "offset"}),
    central=fields,
)


def check_sentence(error: Exception, kind: type[Exception]) -> None:
    assert isinstance(error, kind), repr(error)
    assert "\n" not in str(error)
    assert str(error).isprintable() or not isinstance(error, SageWheelsError)
    assert len(str(error)) < 3000


def _wheel_check(data: bytes, prefix: Prefix, directory: Path, inflater: ModuleType | None = None) -> None:
    path = directory / "x-1-py3-none-any.whl"
    path.write_bytes(data)
    tree = directory / "tree"
    before = set(os.listdir(directory))
    try:
        with Wheel(str(path), inflater=inflater) as wheel:
            write_images([Request(wheel)], prefix, str(tree), compile_bytecode=False)
            assert wheel.archive.members.keys() >= {f"{wheel.dist_info}/{name}" for name in ("RECORD", "WHEEL")}
            assert all(".." not in each.split("/") for each in snapshot(tree))
    except SageWheelsError as error:
        check_sentence(error, WheelRefused)
    assert set(os.listdir(directory)) - {"tree"} == before - {"tree"}
    shutil.rmtree(tree, ignore_errors=True)


def test_wheels(tmp_path: Path, inflater: ModuleType) -> None:
    whole = make_wheel(
        tmp_path,
        "x",
        "1",
        {"x/__init__.py": "x = 1\n" * 50, "x/a.txt": os.urandom(0)},
        entry_points={"x": "x:main"},
        data={"scripts/y": "#!python\n", "data/share/x": "x"},
    ).read_bytes()
    prefix = find_prefix(make_prefix(tmp_path))
    with tempfile.TemporaryDirectory() as directory:
        drive(
            st.one_of(mutated(whole), st.lists(entries, max_size=4).map(zip_bytes)),
            lambda data: _wheel_check(data, prefix, Path(directory), inflater),
        )


def test_descriptions(tmp_path: Path) -> None:
    """METADATA, WHEEL, RECORD and entry points that are wrong in a wheel whose archive is right."""
    prefix = find_prefix(make_prefix(tmp_path))
    right: dict[str, bytes] = {
        "METADATA": b"Metadata-Version: 2.1\nName: x\nVersion: 1\nRequires-Dist: y>=1; python_version<'4'\n\nText\n",
        "WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "entry_points.txt": b"[console_scripts]\nx = x:main\ny = x.y:Z.main [extra]\n[gui_scripts]\nz=x:z\n",
    }

    def check(spoilt: tuple[str, bytes]) -> None:
        name, content = spoilt
        texts = {**right, name: content}
        members = [Entry(f"x-1.dist-info/{each}", text) for each, text in texts.items() if each != "RECORD"]
        rows = [record.Row(str(each.name), record.digest_of(each.content)) for each in members]
        own = record.format_rows([*rows, record.Row("x-1.dist-info/RECORD")])
        _wheel_check(
            zip_bytes([*members, Entry("x-1.dist-info/RECORD", content if name == "RECORD" else own)]),
            prefix,
            Path(directory),
        )

    row = b"x-1.dist-info/METADATA,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n"
    spoilt = st.one_of(
        *(st.tuples(st.just(name), mutated(text)) for name, text in right.items()),
        st.tuples(st.just("RECORD"), mutated(row * 3)),
    )
    with tempfile.TemporaryDirectory() as directory:
        drive(spoilt, check)


def test_records() -> None:
    locator = Locator("/nowhere")

    def check(data: bytes) -> None:
        try:
            rows = record.parse(data)
        except ValueError as error:
            check_sentence(error, ValueError)
            return
        assert Counter(record.parse(record.format_rows(rows))) == Counter(rows)
        for row in rows:
            place = locator.locate("lib/site-packages", row.path)
            assert place is None or not (place.startswith(("/", "../")) or "/../" in f"/{place}/")

    text = b'x.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n"a,""b.py",,\n../../../bin/x,sha256=a,7\n/y,,\n'
    drive(st.one_of(mutated(text), st.binary(max_size=60), names), check)


def test_journals() -> None:
    whole = Journal("var/stage", [Step("exchange", "lib/x", "stage/x", "", 7, 8), Step("rmdir", "lib/y", mode=0o755)])
    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["place", "../x", "/x", "x\0", "x"]),
        lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(["a", "do"]), inner, max_size=2),
        max_leaves=12,
    )
    contents = (
        st.fixed_dictionaries(
            {
                "format": st.just(journal.FORMAT) | values,
                "stage": values,
                "steps": values | st.lists(st.lists(values, max_size=10), max_size=3),
                "durable": values,
                "inode": st.integers() | values,
            }
        )
        | values
    )

    def signed(body: bytes) -> bytes:
        return b"%08x %d\n%s" % (zlib.crc32(body), len(body), body)

    def check(data: bytes) -> None:
        with contextlib.suppress(ValueError):
            entry = journal.from_bytes(data)
            assert journal.from_bytes(entry.to_bytes()) == entry
            for path in (entry.stage, *(path for step in entry.steps for path in step[1:4])):
                assert not path.startswith("/")
                assert ".." not in path.split("/")
                assert "\0" not in path

    drive(
        st.one_of(
            mutated(whole.to_bytes()),
            mutated(whole.to_bytes().partition(b"\n")[2]).map(signed),
            contents.map(lambda content: signed(json.dumps(content).encode())),
        ),
        check,
    )
    check(signed(b"[" * 100_000))
    check(
        signed(
            json.dumps({"format": 1, "stage": "s", "durable": False, "steps": [[[], "x", "", "", 0, 0, 0]]}).encode()
        )
    )


def test_sdists(tmp_path: Path) -> None:
    import io
    import tarfile

    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind in (
            ("x-1/setup.py", b"0"),
            ("x-1/d", b"5"),
            ("x-1/l", b"2"),
            ("x-1/h", b"1"),
            ("x" * 120, b"0"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "x-1/setup.py" if kind == b"1" else "setup.py"
            info.size = 3 if kind == b"0" else 0
            tar.addfile(info, io.BytesIO(b"xyz"))
    zipped = zip_bytes([Entry("x-1/setup.py", b"x" * 99), Entry("x-1/a/b", b"y")])
    destination = tmp_path / "destination"

    def check(example: tuple[str, bytes]) -> None:
        suffix, data = example
        path = tmp_path / f"x-1{suffix}"
        path.write_bytes(data)
        destination.mkdir()
        try:
            unpack_sdist(str(path), str(destination), SdistLimits(1 << 20, 100))
        except SageWheelsError as error:
            check_sentence(error, SageWheelsError)
        shutil.rmtree(destination)
        path.unlink()
        assert os.listdir(tmp_path) == []

    drive(
        st.one_of(
            st.tuples(st.just(".tar.gz"), mutated(plain.getvalue()[:7000]).map(lambda data: gzip.compress(data, 1))),
            st.tuples(st.just(".tar.gz"), mutated(gzip.compress(plain.getvalue(), 1))),
            st.tuples(st.just(".zip"), mutated(zipped)),
        ),
        check,
    )


def test_header_fields() -> None:
    def check(text: str) -> None:
        for key, values in headers(text).items():
            assert key == key.lower()
            assert all(isinstance(each, str) for each in values)

    drive(st.text(st.sampled_from("Na: \t\n\r\0-\u2028\u00e9"), max_size=30), check)
