"""`sage_wheels.metadata` says what packaging and the standard library's email parser say."""

from __future__ import annotations

import email.parser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sage_wheels.metadata import canonical_name, headers, requirement_name


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", fullmatch=True))
def test_names(name: str) -> None:
    assert canonical_name(name) == canonicalize_name(name)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_headers(end: str) -> None:
    lines = [
        "Name: a",
        "version:1.0 ",
        "Tag: x",
        "TAG: y",
        "Summary: one",
        "  two",
        "\tthree: 3",
        "junk",
        "",
        "Name: b",
    ]
    found = headers(end.join(lines))
    assert found == {"name": ["a"], "version": ["1.0"], "tag": ["x", "y"], "summary": ["one\ntwo\nthree: 3"]}
    message = email.parser.Parser().parsestr("\n".join(lines[:7]) + "\n\n")
    assert message["name"] == "a"
    assert message.get_all("tag") == found["tag"]


def test_headers_of_nothing() -> None:
    assert headers("") == {}
    assert headers(" continued\nName: a\n") == {"name": ["a"]}


@pytest.mark.parametrize(
    "text", ["six", "Six>=1", "a.b_c[x,y]<2; python_version>'3'", "pkg @ file:///x", "  six ~= 1.0", "six(>1)"]
)
def test_requirement_names(text: str) -> None:
    assert requirement_name(text) == canonicalize_name(Requirement(text).name)


@pytest.mark.parametrize("text", ["", "???", "-r x", "/path"])
def test_what_begins_with_no_name(text: str) -> None:
    assert requirement_name(text) in ("", "-r")
