"""MANY BUILDS: find out which source must be built before which, build them in parallel, and report.

projects    name, version and requirements of a source, as far as they are known before the build
graph       the dependency graph of the sources, which grows while builds report more requirements
tasks       a build and its result as data (JSON)
worker      performs one task
parcel      a task as it is sent to another machine: what both sides must agree on, and limits
sender      on this machine: packs a task into a parcel, and reads the result from the answer
fork_server on the other machine: a process for each task, forked from one that has imported the tool
remote      on the other machine: does the task in a parcel; `graph_task` is the command for it
engine      the interface of an engine, which runs tasks; `local`: as processes of this machine; `dask`: a Dask cluster
slots       how many builds and compilers run at the same time (GNU make's jobserver)
scheduler   the main loop: starts builds that are ready, those with the longest remaining path first
report      the results, for people and for programs
timings     an HTML page that shows the builds over time; `analysis`: the critical path, idle slots, more slots
"""

from __future__ import annotations

COMMANDS = ("graph-task",)
