"""Sage's own scripts against ours, in a genuine tree: prints the table of docs/sage.md.

usage: python benchmarks/sage.py DIRECTORY [PACKAGE...]

DIRECTORY is what tests/sage/genuine/set-up has made, or what is laid out like it. Without PACKAGE, those of
tests/sage/genuine/packages. Needs strace to count processes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {"LANG": "C.UTF-8", "TERM": "dumb", "V": "0", "MAKE": "make -j2", "USER": "builder"}
ENVIRONMENT |= {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PIP_CONFIG_FILE": os.devnull}


def make(work: Path, *targets: str, count: bool = False) -> tuple[float, int]:
    """Build `targets`; the wall time in seconds, and with `count` how many Python processes there were."""
    command = ["./install", *targets]
    with tempfile.NamedTemporaryFile("r") as trace:
        if count:
            command = ["strace", "-f", "-qq", "-o", trace.name, "-e", "trace=execve", *command]
        start = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=work / "tree/build/make",
            env={**ENVIRONMENT, "HOME": str(work / "home")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(f"make {' '.join(targets)} failed:\n{done.stdout[-3000:]}")
        return seconds, len(re.findall(r'execve\("[^"]*/python[0-9.]*".* = 0$', trace.read(), re.MULTILINE))


def files(work: Path) -> set[str]:
    """The files that were installed, and those that Sage keeps about them; without byte-code and what is ours alone."""
    [venv] = work.glob("tree/local/var/lib/sage/venv-python*")
    paths = (str(path.relative_to(venv)) for path in venv.rglob("*") if path.is_file() or path.is_symlink())
    ignored = re.compile(r"var/(tmp|lock|lib/sage-wheels)/|.*\.pyc$|lib64/")
    return {path for path in paths if not ignored.match(path)}


def measure(work: Path, packages: list[str]) -> tuple[dict[str, str], set[str]]:
    """The cells of one column, and the files that all packages together have installed."""
    tree = work / "tree"
    shutil.rmtree(tree / "local", ignore_errors=True)
    (tree / "local/var/lib/sage/installed").mkdir(parents=True)
    (tree / "local/var/lib/sage/installed/.dummy").touch()
    cells = {f"{len(packages)} packages, cold, -j2": f"{make(work, *packages)[0]:.0f} s"}
    found = files(work)
    for target in ("six-clean", "six"):
        times = []
        for _ in range(3):
            make(work, "six" if target == "six-clean" else "six-clean")
            times.append(make(work, target)[0])
        make(work, "six" if target == "six-clean" else "six-clean")
        cells[f"make {target}"] = f"{min(times):.2f} s, {make(work, target, count=True)[1]} Pythons"
    cells["all of them -clean"] = f"{make(work, *(f'{each}-clean' for each in packages))[0]:.0f} s"
    return cells, found


def main(work: Path, packages: list[str]) -> None:
    overlay = [str(CHECKOUT / "build/overlay"), str(work / "tree")]
    packages = packages or [
        line.split()[0] for line in (CHECKOUT / "tests/sage/genuine/packages").read_text().splitlines()
    ]
    subprocess.run([*overlay, "--undo"], check=True)
    stock, stock_files = measure(work, packages)
    subprocess.run(overlay, check=True)
    ours, our_files = measure(work, packages)
    subprocess.run([*overlay, "--undo"], check=True)
    print("| | stock | with the overlay |\n|---|---|---|")
    for name, cell in stock.items():
        print(f"| {name} | {cell} | {ours[name]} |")
    print(f"| files installed | {len(stock_files)} | {len(our_files)} |")
    for path in sorted(stock_files ^ our_files):
        print(f"only {'stock' if path in stock_files else 'ours'}: {path}")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
