"""Real servers on the loopback interface."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path


def free_port() -> int:
    """A port that nobody has now; below those that the system gives to others, so that nobody gets it meanwhile."""
    with socket.socket() as s:
        for port in random.sample(range(10_000, 30_000), 1000):
            with contextlib.suppress(OSError):
                s.bind(("127.0.0.1", port))
                return port
    raise AssertionError("no port is free")


@contextlib.contextmanager
def listening(command: list[str], port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process of `command`, which listens at `port` and writes into `log`; it is ended afterwards."""
    with log.open("ab") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            for _ in range(600):
                assert process.poll() is None, log.read_text()
                with socket.socket() as s:
                    if not s.connect_ex(("127.0.0.1", port)):
                        break
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()


def certify(directory: Path) -> None:
    """Make the files `store.pem` and `store.key`, for TLS at 127.0.0.1."""
    options = "-x509 -newkey rsa:2048 -nodes -subj /CN=x -addext subjectAltName=IP:127.0.0.1 -days 2"
    made = ("-keyout", directory / "store.key", "-out", directory / "store.pem")
    subprocess.run(["openssl", "req", *options.split(), *made], capture_output=True, check=True)


def set_password(directory: Path) -> None:
    """Make the file `store.passwords`, in which the user `ci` has the password `secret`."""
    made = subprocess.run(["openssl", "passwd", "-apr1", "secret"], capture_output=True, text=True, check=True)
    (directory / "store.passwords").write_text(f"ci:{made.stdout}")
