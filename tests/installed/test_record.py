"""`sage_wheels.installed.record`: what is written is what is read, by us and by the standard library's CSV."""

from __future__ import annotations

import base64
import csv
import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_wheels.installed import record
from sage_wheels.installed.record import Row

PATHS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
DIGESTS = st.sampled_from(["", "sha256=abc-_", "sha512=x", 'a,"b', "\n"])  # anything may stand there
ROWS = st.builds(Row, PATHS, DIGESTS, st.one_of(st.none(), st.integers(0, 1 << 70)))


@given(st.lists(ROWS))
def test_round_trip(rows: list[Row]) -> None:
    assert record.parse(record.format_rows(rows)) == sorted(
        rows, key=lambda row: (row.path, row.digest, "" if row.size is None else str(row.size))
    )


@given(st.lists(ROWS.filter(lambda row: "\0" not in row.path)))  # which `csv` before Python 3.11 refuses
def test_others_read_the_same(rows: list[Row]) -> None:
    text = record.format_rows(rows).decode()
    theirs = sorted(tuple(fields) for fields in csv.reader(io.StringIO(text, newline="")))
    assert theirs == sorted((row.path, row.digest, "" if row.size is None else str(row.size)) for row in rows)


@given(st.text(st.sampled_from(',ab/\n\r\v0123456789 \u0660\u2028="')))
def test_rows_without_anything_quoted_are_read_as_csv_is(text: str) -> None:
    """They are read without `csv`. A row that needs it, at the end, makes that the way for all."""

    def rows_of(content: str) -> list[Row] | None:
        try:
            return record.parse(content.encode())
        except ValueError:
            return None

    told = rows_of(f'{text}\n"q",,\n')
    assert rows_of(f"{text}\nq,,\n") == told


@given(st.binary())
def test_garbage_is_read_or_a_value_error(data: bytes) -> None:
    try:
        rows = record.parse(data)
    except ValueError:
        return
    assert all(row.path for row in rows)


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1e"])
def test_only_line_feeds_end_a_row(separator: str) -> None:
    rows = [Row(f"a{separator}b.py", "sha256=x", 1), Row("c.py")]
    assert record.parse(record.format_rows(rows)) == rows
    assert record.parse(f"a{separator}b,,\nc,,\n".encode()) == [Row(f"a{separator}b"), Row("c")]


def test_spellings_of_others() -> None:
    assert record.parse(b"a,,\r\nb,sha256=x,5\r\n") == [Row("a"), Row("b", "sha256=x", 5)]
    assert record.parse(b'"a ""b"", c",,\n') == [Row('a "b", c')]
    assert record.parse(b"\n\na,,\n\n") == [Row("a")]
    assert record.parse(b"a\nb,x\n") == [Row("a"), Row("b", "x")]
    assert record.parse(b"a,,") == [Row("a")]
    assert record.parse(b"") == []


@pytest.mark.parametrize(
    "data",
    [
        *(
            b",,\n",
            b"a,b,1,c\n",
            b"a,b,x\n",
            b"a,b,-1\n",
            b"a,b,1.5\n",
            b"a,b, 1\n",
            b'"a,b,1\n',
            b'"a"b,,\n',
            b"\xff,,\n",
        ),
        *("a,b,\N{SUPERSCRIPT TWO}\n".encode(), "a,b,\N{ARABIC-INDIC DIGIT ONE}\n".encode()),
    ],
    ids=repr,
)
def test_what_is_no_record(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"line 1|utf-8"):
        record.parse(data)


@given(st.binary(max_size=200))
def test_digests_are_spelt_as_the_specification_says(data: bytes) -> None:
    for algorithm in sorted(record.ALGORITHMS):
        digest = hashlib.new(algorithm, data).digest()
        expected = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        assert record.encode(algorithm, digest) == f"{algorithm}={expected}"
    assert record.digest_of(data) == record.encode("sha256", hashlib.sha256(data).digest())


def test_rows_are_sorted_as_pip_sorts_them() -> None:
    rows = [Row("b"), Row("a", "sha256=x", 1), Row("B"), Row("a/b")]
    assert record.format_rows(rows) == b"B,,\na,sha256=x,1\na/b,,\nb,,\n"
