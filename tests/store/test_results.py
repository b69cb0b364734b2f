"""The bytes of a result."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_wheels.store.results import Content, Result, canonical, decode, encode, key_of

_KEY = "a" * 64
_RESULT = Result("wheel", _KEY, (Content("x.whl", "b" * 64, 3),), {"seconds": 1.5, "é": ["x"]}, 1700000000)

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(st.dictionaries(st.text(), _json))
def test_a_result_survives_its_bytes(values: dict[str, object]) -> None:
    result = _RESULT._replace(values=values)
    assert decode(encode(result)) == result


@given(st.dictionaries(st.text(), _json))
def test_the_order_of_names_does_not_matter(values: dict[str, object]) -> None:
    assert canonical(values) == canonical(dict(reversed(values.items())))
    assert key_of("wheel", values) == key_of("wheel", dict(reversed(values.items())))


def test_a_key_depends_on_the_kind_and_on_the_order_of_lists() -> None:
    assert len({key_of("wheel", ["a", "b"]), key_of("wheel", ["b", "a"]), key_of("requires", ["a", "b"])}) == 3


def test_only_the_canonical_form_is_a_result() -> None:
    data = encode(_RESULT)
    assert decode(data.replace(b":", b": ", 1)) is None
    assert decode(data + b"\n") is None
    assert decode(data[:-1]) is None
    assert decode(b"[" * 100_000) is None
    assert decode(b"null") is None


@pytest.mark.parametrize("name", ["", "..", "a/b", "/a", "a\0b", "a\nb"])
def test_a_content_has_the_name_of_a_file(name: str) -> None:
    assert decode(encode(_RESULT._replace(contents=(Content(name, "b" * 64, 3),)))) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"key": "A" * 64},
        {"contents": (Content("x", "../../etc/passwd", 3),)},
        {"contents": (Content("x", "b" * 64, -1),)},
        {"time": "now"},
        {"kind": 3},
    ],
)
def test_what_is_malformed_is_no_result(changed: dict[str, object]) -> None:
    assert decode(encode(_RESULT._replace(**changed))) is None  # type: ignore[arg-type]
