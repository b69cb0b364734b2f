"""Choose the module that inflates: `zlib-ng` for large archives, if it is installed (extra `fast`), or else `zlib`.

`zlib-ng` is a fork of `zlib`: it has the same functions, and accepts the same streams. `isal` is not used: it accepts
streams that `zlib` refuses (66 of 80,000 that were spoilt at random). It inflates a fifth faster, but wheels of 60 MB
were installed only up to 7 % faster.
"""

from __future__ import annotations

import importlib
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LARGE = 4 << 20  # bytes: importing zlib-ng takes as long as inflating a smaller archive with zlib


def inflater(size: int) -> Any:
    """The module to use for an archive of `size` bytes. It has `decompressobj`, `crc32` and `error`, as `zlib` has."""
    if size >= _LARGE:
        try:
            return importlib.import_module("zlib_ng.zlib_ng")
        except ImportError:
            pass  # it is not installed, or was built for another Python
    return zlib
