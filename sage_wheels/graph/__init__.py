"""MANY BUILDS: find out which source must be built before which, build them in parallel, and report.

projects    name, version and requirements of a source, as far as they are known before the build
graph       the dependency graph of the sources, which grows while builds report more requirements
tasks       a build and its result as data (JSON)
worker      performs one task
parcel      what both sides of a build on another machine agree on: who is alike, how much travels
sender      here: a task into a parcel, and the answer into a result
nursery     there: a process for each task, forked from one that has imported the tool
remote      there: does the task in a parcel; `graph_task` is the command for it
engine      the interface of an engine, which runs tasks; `local`: as processes of this machine; `dask`: a Dask cluster
slots       how many builds and compilers run at the same time (GNU make's jobserver)
scheduler   the main loop: starts builds that are ready, those with the longest remaining path first
report      the results, for people and for programs
timings     an HTML page that shows the builds over time; `analysis`: what held them up, what more slots would gain
"""

from __future__ import annotations

COMMANDS = ("graph-task",)
