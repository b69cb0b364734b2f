"""`sage_wheels.fs.digest`: the same hash with OpenSSL and without, and OpenSSL is loaded only for what is worth it."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest

PROGRAM = """
import sys
{before}
from sage_wheels.fs import digest
for size in {sizes}:
    found = digest.sha256(b"x" * size)
    found.update(b"y")
    print(found.hexdigest())
print("_hashlib" in sys.modules)
"""
LITTLE, MUCH = [0, 1, 1000], [1000, 1 << 20, 1000]


def run(sizes: list[int], before: str = "") -> list[str]:
    program = PROGRAM.format(sizes=sizes, before=before)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(("sizes", "loads"), [(LITTLE, False), (MUCH, True), ([1000] * 300, True)])
def test_the_digest_is_that_of_hashlib(sizes: list[int], loads: bool) -> None:
    *digests, loaded = run(sizes)
    assert digests == [hashlib.sha256(b"x" * size + b"y").hexdigest() for size in sizes]
    if sys.implementation.name == "cpython":
        assert loaded == str(loads)


def test_a_python_without_a_sha256_of_its_own() -> None:
    """As one that was built with --with-builtin-hashlib-hashes=blake2."""
    *digests, loaded = run(LITTLE, "sys.modules['_sha2'] = sys.modules['_sha256'] = None")
    assert digests == [hashlib.sha256(b"x" * size + b"y").hexdigest() for size in LITTLE]
    assert loaded == "True"
