"""Let setuptools compile several extension modules of a project at the same time.

setuptools compiles one after the other, unless a configuration file has the option `parallel` of its command build_ext.
Besides the files of the project, it reads the file that the variable DIST_EXTRA_CONFIG names. The number is that of
MAX_JOBS, a variable that other tools read for the same purpose. Without it, nothing is different.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.building.backend.variables import Variables

JOBS = "MAX_JOBS"
_FILE = "DIST_EXTRA_CONFIG"


def compiled_at_once(variables: Variables, directory: str, seen_at: str) -> Variables:
    """`variables`, and one that names a new file in `directory` if MAX_JOBS is a number above 1.

    `seen_at` is the path of `directory` for the backend. A DIST_EXTRA_CONFIG of the caller stays. Raises `OSError`.
    """
    jobs = variables.environ.get(JOBS, "")
    if _FILE in variables.environ or not (jobs.isascii() and jobs.isdigit() and int(jobs) > 1):
        return variables
    with open(f"{directory}/setuptools.cfg", "w", encoding="ascii") as f:
        f.write(f"[build_ext]\nparallel = {int(jobs)}\n")
    return variables._replace(environ={**variables.environ, _FILE: f"{seen_at}/setuptools.cfg"})
