"""Our `NamedTuple` is that of `typing`, made with less."""

from __future__ import annotations

import pickle
import typing
from typing import Any

import pytest

from sage_wheels.named import NamedTuple


class Ours(NamedTuple):
    """A doc."""

    one: int
    two: str = "2"

    @property
    def three(self) -> int:
        return self.one + len(self.two)


class Theirs(typing.NamedTuple):
    """A doc."""

    one: int
    two: str = "2"

    @property
    def three(self) -> int:
        return self.one + len(self.two)


def test_a_named_tuple_is_what_typing_makes() -> None:
    ours: Any = Ours(1)
    theirs: Any = Theirs(1)
    assert ours == theirs == (1, "2")
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert ours.three == theirs.three == 2
    assert (ours._asdict(), ours._replace(one=3)) == (theirs._asdict(), theirs._replace(one=3))
    assert (Ours._fields, Ours._field_defaults, Ours.__doc__) == (
        Theirs._fields,
        Theirs._field_defaults,
        Theirs.__doc__,
    )
    assert Ours.__mro__[1:] == Theirs.__mro__[1:]
    assert type(pickle.loads(pickle.dumps(ours))) is Ours
    with pytest.raises(TypeError):
        Ours()  # type: ignore[call-arg]
