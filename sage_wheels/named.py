"""`NamedTuple` and `Protocol` for the modules that many commands load, without `typing`.

Importing `typing` takes as long as all modules that the command `list` needs, and `typing.NamedTuple` takes twice as
long as `collections.namedtuple` to make a class. Type checkers see `typing.NamedTuple` and
`typing.Protocol`; at run time, `Protocol` is an empty class.

>>> class Point(NamedTuple):
...     x: int
...     y: int = 0
>>> Point(1), Point(1)._replace(y=2) == (1, 2)
(Point(x=1, y=0), True)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple, Protocol
else:
    from collections import namedtuple

    class _Maker(type):
        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, object]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = body.get("__annotations__", {})
            defaults = [body[each] for each in fields if each in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            made.__annotations__ = fields  # for `typing.get_type_hints`
            for key, value in body.items():
                if key not in fields and key not in ("__annotations__", "__dict__", "__weakref__"):
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Maker):
        pass

    class Protocol:
        pass


__all__ = ["NamedTuple", "Protocol"]
