"""Mutation testing of the modules without I/O: how many changes of the code their tests detect.

`python -m tests.mutations.score`: mutmut changes each expression in turn, as `[tool.mutmut]` in
`pyproject.toml` says. Nine in ten must be detected in each module, and each of the others must be
in `survivors.toml` with the reason why no test can or should detect it.
"""

import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.mutations import tree

#: The share of a module's changes that tests must notice: lower, and whole rules are untested.
MIN_SHARE = 0.9
SURVIVORS = Path(__file__).with_name("survivors.toml")
NOTICED = frozenset({"killed", "timeout", "caught by type check"})


@dataclass(frozen=True)
class Mutant:
    """One change that mutmut made."""

    name: str
    status: str

    @property
    def module(self) -> str:
        """The module's file."""
        return self.name.rpartition(".")[0].replace(".", "/") + ".py"

    @property
    def place(self) -> str:
        """The file and the function, as `survivors.toml` names it."""
        # mutmut names a mutant x_FUNCTION__mutmut_1 or xǁCLASSǁMETHOD__mutmut_1.
        function = self.name.rpartition(".")[2].partition("__mutmut_")[0]
        found = function.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
        return f"{self.module}: {found}"


def main() -> int:
    """Returns 0 when enough are detected and the rest is accounted for."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="leadline-mutants-") as folder:
        tree.copy(Path(folder))
        result = _mutmut(folder, "run", "--max-children", str(os.cpu_count()))
        if result.returncode:
            _print(f"mutmut failed:\n{result.stdout[-5000:]}")
            return 1
        mutants = _read(_mutmut(folder, "results", "--all", "true").stdout)
        survivors = [mutant for mutant in mutants if mutant.status not in NOTICED]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = list(pool.map(partial(_change, folder), survivors))
    is_enough = _report_shares(mutants)
    is_known = _report_survivors([survivor.place for survivor in survivors], found)
    _print(f"{len(mutants)} changes, {time.monotonic() - began:.0f} s")
    return 0 if is_enough and is_known else 1


def _mutmut(folder: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "mutmut", *words),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _read(results: str) -> list[Mutant]:
    """From lines `    name: status`."""
    parts = [line.strip().rpartition(": ") for line in results.splitlines() if "__mutmut_" in line]
    return [Mutant(name, status) for name, _, status in parts]


def _change(folder: str, mutant: Mutant) -> str:
    """What was changed, as `old  ->  new`."""
    lines = _mutmut(folder, "show", mutant.name).stdout.splitlines()
    body = [line for line in lines if not line.startswith(("---", "+++"))]
    old, new = (" ".join(line[1:].strip() for line in body if line[:1] == sign) for sign in "-+")
    return f"{old}  ->  {new}"


def _report_shares(mutants: list[Mutant]) -> bool:
    """Whether enough were detected in each module."""
    totals = Counter(mutant.module for mutant in mutants)
    noticed = Counter(mutant.module for mutant in mutants if mutant.status in NOTICED)
    for module, count in sorted(totals.items()):
        share = noticed[module] / count
        mark = "" if share >= MIN_SHARE else f"  less than {MIN_SHARE:.0%}"
        _print(f"{module:32} {noticed[module]:4} of {count:4} noticed, {share:.1%}{mark}")
    return bool(totals) and all(noticed[module] >= MIN_SHARE * totals[module] for module in totals)


def _report_survivors(places: list[str], changes: list[str]) -> bool:
    """Whether each survivor is listed with its reason, and nothing else is."""
    found = set(zip(places, changes, strict=True))
    listed = {
        (survivor["in"], change)
        for survivor in tomllib.loads(SURVIVORS.read_text("utf-8"))["survivors"]
        for change in survivor["changes"]
    }
    for function, change in sorted(found - listed):
        _print(f"not noticed and not listed, in {function}\n  '{change}',")
    for function, change in sorted(listed - found):
        _print(f"listed, but noticed or gone, in {function}\n  '{change}',")
    return found == listed


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
