"""Entries of a remote cache are the messages that others write and read."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import pytest

from sage_wheels.store.action_result import OutputFile, decode, encode
from support.chance import seed

DIGEST = hashlib.sha256(b"x").hexdigest()
FILES = [
    OutputFile("a-1.0-py3-none-any.whl", DIGEST, 20_000_000),
    OutputFile("ü", DIGEST, 0),
    OutputFile("b", DIGEST, 1),
]
# By hand: field 2 (12), of 74 bytes (4a): field 1 (0a), of 1 byte, "b"; field 2 (12), of 69 bytes (45): field 1 (0a),
# of 64 bytes (40), the digest; field 2 as a number (10), 300 (ac 02).
ONE = bytes.fromhex("124a0a0162" + "1245" + "0a40") + DIGEST.encode() + bytes.fromhex("10ac02")

# What protoc makes of the fields that we use, said with the library's own descriptions.
_WITH_PROTOBUF = """
import sys
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
file = descriptor_pb2.FileDescriptorProto(name="x.proto", package="x", syntax="proto3")
def message(name, *fields):
    added = file.message_type.add(name=name)
    for name, number, kind, label, of in fields:
        added.field.add(name=name, number=number, type=kind, label=label, type_name=of)
message("Digest", ("hash", 1, 9, 1, None), ("size_bytes", 2, 3, 1, None))
message("OutputFile", ("path", 1, 9, 1, None), ("digest", 2, 11, 1, ".x.Digest"), ("is_executable", 4, 8, 1, None))
files = ("output_files", 2, 11, 3, ".x.OutputFile")
message("ActionResult", files, ("exit_code", 4, 5, 1, None), ("stdout_raw", 5, 12, 1, None))
pool = descriptor_pool.DescriptorPool()
pool.Add(file)
result = message_factory.GetMessageClass(pool.FindMessageTypeByName("x.ActionResult"))()
for path, digest, size in eval(sys.stdin.read()):
    added = result.output_files.add(path=path, is_executable="executable" in sys.argv)
    added.digest.hash, added.digest.size_bytes = digest, size
if "executable" in sys.argv:
    result.exit_code, result.stdout_raw = -1, b"some text"
print(result.SerializeToString().hex())
"""


def test_known_bytes() -> None:
    assert encode([OutputFile("b", DIGEST, 300)]) == ONE
    assert decode(ONE) == [OutputFile("b", DIGEST, 300)]
    assert decode(encode(FILES)) == FILES
    assert decode(b"") == []


def test_what_is_unknown_is_passed_over() -> None:
    more = b"\x20\x03" + b"\x4a\x02\x0a\x00" + b"\x99\x06" + b"12345678" + b"\xa5\x06" + b"1234"
    assert decode(more + ONE + more) == [OutputFile("b", DIGEST, 300)]


@pytest.mark.parametrize(
    "data",
    [
        ONE[:-1],
        b"\x12",
        b"\x12\x05ab",
        b"\x12\x00",  # a file without anything
        b"\x10\x05",  # a number where a file is due
        b"\x02\x00",  # the field 0
        b"\x13\x14",  # groups
        b"\xff" * 20,
        ONE.replace(DIGEST.encode(), DIGEST.upper().encode()),
        ONE.replace(b"\x0a\x01b", b"\x0a\x01\xff"),
        ONE[:-2] + b"\xff\xff",
        b"<html>",
    ],
)
def test_what_is_no_such_message_is_none(data: bytes) -> None:
    assert decode(data) is None


def test_any_bytes_have_an_answer() -> None:
    chance = random.Random(seed("BYTES_SEED"))
    whole = encode(FILES)
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 5)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        found = decode(bytes(data[: chance.randrange(len(data) + 1)]))
        assert found is None or all(len(each.digest) == 64 and each.size >= 0 for each in found)


@pytest.mark.network
def test_others_write_the_same(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "protobuf"], check=True)

    def written(*more: str) -> bytes:
        command = [str(python), "-I", "-c", _WITH_PROTOBUF, *more]
        told = repr([tuple(each) for each in FILES])
        return bytes.fromhex(subprocess.run(command, input=told, capture_output=True, text=True, check=True).stdout)

    assert written() == encode(FILES)
    assert written("executable") != encode(FILES)
    assert decode(written("executable")) == FILES
