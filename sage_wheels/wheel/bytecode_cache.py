"""Keep byte-code in the store, for installing the same wheel into another prefix.

A result has the code of one piece of a wheel (a group of its members), compiled with a placeholder for the path. Its
key is a digest of everything on which the code depends: the RECORD of the wheel (with the hash of each source), the
piece, and the magic number of the interpreter. A damaged result, and one in another format, is ignored. Without a store
(None), nothing is kept.
"""

from __future__ import annotations

import importlib.util
import marshal

from sage_wheels.store.results import key_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.store.store import Store

_KIND = "bytecode"
_FORMAT = 1
_CODES = "codes"


def key(record: str, piece: str) -> str:
    """The key of a piece of the wheel whose RECORD has this SHA-256."""
    return key_of(_KIND, [_FORMAT, importlib.util.MAGIC_NUMBER.hex(), piece, record])


def load(store: Store | None, name: str) -> dict[str, bytes]:
    """The codes that `store` has under the key `name`, by member; empty if there are none that can be read."""
    found = store.result(_KIND, name) if store else None
    data = store.read(found, _CODES) if store and found else None
    if data is None:
        return {}
    try:
        codes = marshal.loads(data)
    except (EOFError, ValueError, TypeError):
        return {}
    if not isinstance(codes, dict) or not all(isinstance(k, str) and isinstance(v, bytes) for k, v in codes.items()):
        return {}
    return codes


def keep(store: Store | None, name: str, codes: dict[str, bytes]) -> None:
    """Keep `codes` under the key `name`. Nothing happens if the store cannot be written."""
    if store:
        store.keep(_KIND, name, {}, data={_CODES: marshal.dumps(codes)})
