"""The command `graph-task`: do one task of many builds, for an engine that runs tasks on other machines.

The first line of standard input is the task. Standard output gets a line for each event and, at the end, the result;
each is a JSON list of two strings. When its standard input ends, the command ends, with all processes that it has
started.

With --forks it does many tasks, each in a process of its own (`fork_server`).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading

from sage_wheels import processes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--forks", action="store_true", help="do many tasks, each in a process that is forked")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.graph.remote import perform

    if options.forks:
        from sage_wheels.graph import fork_server

        if not fork_server.serve():
            return 0
    line = sys.stdin.buffer.readline()
    if not line:  # the worker has ended
        return 1
    # The build must write to nothing but its log, and must not read our standard input.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    processes.prepare()
    threading.Thread(target=_end_with_input, args=(os.dup(0),), daemon=True).start()
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)

    def tell(kind: str, text: str) -> None:
        answers.write(json.dumps([kind, text]) + "\n")
        answers.flush()

    try:
        answer = perform(line.decode().removesuffix("\n"), tell)
        processes.end_all()
        tell(*answer)
    except BrokenPipeError:  # nobody reads the answer any more
        processes.end_all()
        return 1
    return 0


def _end_with_input(descriptor: int) -> None:
    while os.read(descriptor, 1 << 12):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
