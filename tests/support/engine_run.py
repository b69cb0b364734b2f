"""A program that builds with one of the engines, and prints what became of each source.

    python engine_run.py ENGINE CACHE WHEELS JOBS SOURCE...

ENGINE is "local", the address of a Dask scheduler, or a shell command that runs its last argument. The store is that of
the variables.
"""

from __future__ import annotations

import contextlib
import json
import sys

from sage_wheels import processes
from sage_wheels.building import BuildOptions, parse_source
from sage_wheels.cli import signals
from sage_wheels.graph.engine import Engine
from sage_wheels.graph.many import build_all
from sage_wheels.graph.parcel import exchange_of
from sage_wheels.graph.report import as_json
from sage_wheels.graph.scheduler import RunOptions
from sage_wheels.graph.sender import Sender


def main(name: str, cache: str, wheels: str, jobs: str, *sources: str) -> None:
    signals.listen()
    processes.take_charge()
    building = BuildOptions(cache_dir=cache)
    sender = Sender(exchange_of(building), building)
    with contextlib.ExitStack() as stack:
        engine: Engine
        if name == "local":
            from sage_wheels.graph.local import LocalEngine

            engine = LocalEngine()
        elif name.startswith(("tcp:", "tls:")):
            from sage_wheels.graph.dask import DaskEngine

            engine = stack.enter_context(DaskEngine(name, sender))
        else:
            from support.shell_engine import ShellEngine

            engine = ShellEngine(json.loads(name), sender)
        options = RunOptions(
            int(jobs),
            keep_going=True,
            on_start=lambda project: print(f"begins {project}", file=sys.stderr, flush=True),
            on_event=lambda project, event: print(event.kind, event.text, file=sys.stderr, flush=True),
        )
        parsed = [parse_source(each) for each in sources]
        outcomes = build_all(parsed, wheels, building, options, engine=engine)
    print(json.dumps(as_json(outcomes)))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        processes.end_all()
        sys.exit(signals.exit_status())
