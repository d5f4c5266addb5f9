"""Makes each mistake of the table in a copy of the tree, and checks that its tests fail.

`python -m tests.mutations [WORD...]`: those whose description contains one of the words, else all.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.mutations import tree
from tests.mutations.servers import Servers
from tests.mutations.table import MUTATIONS, Mutation

TIMEOUT_S = 300


@dataclass(frozen=True)
class Run:
    """The results of some tests; `failed` and `passed` hold the ids of all cases."""

    failed: frozenset[str]
    passed: frozenset[str]
    output: str


def main(words: Sequence[str]) -> int:
    """Returns 0 when every mistake is noticed by each of its tests."""
    mutations = [
        mutation
        for mutation in MUTATIONS
        if not words or any(word in mutation.mistake for word in words)
    ]
    if not mutations:
        _print("no mistake has such a word in its description")
        return 2
    began, jobs = time.monotonic(), os.cpu_count() or 1
    with (
        tempfile.TemporaryDirectory(prefix="leadline-servers-") as folder,
        Servers(Path(folder), jobs) as servers,
        ThreadPoolExecutor(jobs) as pool,
    ):
        tests = sorted({test for mutation in mutations for test in mutation.tests})
        unchanged = pool.submit(_run, servers, mutation=None, tests=tests)
        problems = list(pool.map(partial(_check_and_print, servers), mutations))
    if unchanged.result().failed or not all(
        _includes(test, unchanged.result().passed) for test in tests
    ):
        _print(f"tests fail without any mistake:\n{unchanged.result().output}")
        return 1
    noticed = problems.count("")
    _print(f"{noticed} of {len(mutations)} mistakes noticed, {time.monotonic() - began:.0f} s")
    return 0 if noticed == len(mutations) else 1


def _check_and_print(servers: Servers, mutation: Mutation) -> str:
    """Run the mutation's tests, print the result, and return the problem, "" if there is none."""
    problem = _problem(servers, mutation)
    _print(f"{'NOT NOTICED' if problem else 'noticed'}: {mutation.mistake}{problem}")
    return problem


def _problem(servers: Servers, mutation: Mutation) -> str:
    """Run the mutation's tests; return why the mistake was not noticed, "" if it was."""
    occurrences = (tree.CHECKOUT / mutation.file).read_text("utf-8").count(mutation.old)
    if occurrences != 1:
        return f"\n  its old text occurs {occurrences} times in {mutation.file}"
    run = _run(servers, mutation, mutation.tests)
    not_failed = [test for test in mutation.tests if not _includes(test, run.failed)]
    if not_run := [test for test in not_failed if not _includes(test, run.passed)]:
        return f"\n  could not be run: {', '.join(not_run)}\n{run.output}"
    return "".join(f"\n  passes all the same: {test}" for test in not_failed)


def _includes(test: str, cases: Iterable[str]) -> bool:
    """Whether a test, or one of its cases, is among these."""
    return any(case == test or case.startswith(f"{test}[") for case in cases)


def _run(servers: Servers, mutation: Mutation | None, tests: Sequence[str]) -> Run:
    """Run tests in a copy of the tree with this mistake, or with none."""
    with (
        tempfile.TemporaryDirectory(prefix="leadline-mutation-") as folder,
        servers.lend() as addresses,
    ):
        tree.copy(Path(folder))
        if mutation is not None:
            path = Path(folder, mutation.file)
            text = path.read_text("utf-8").replace(mutation.old, mutation.new)
            path.write_text(text, "utf-8")
        report = Path(folder, "report.xml")
        result = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"),
                *("-o", "junit_family=xunit1", f"--junitxml={report}", *tests),
            ],
            cwd=folder,
            env={**tree.ENVIRONMENT, **addresses},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return _read(report, result.stdout)


def _read(report: Path, output: str) -> Run:
    """The results in pytest's report.

    A case with an error outside of its test (a server did not start) is neither failed nor passed.
    """
    failed, passed = set(), set()
    cases = ET.parse(report).iter("testcase") if report.exists() else ()  # noqa: S314
    for case in cases:
        name = f"{case.get('file')}::{case.get('name')}"
        if case.find("failure") is not None:
            failed.add(name)
        elif case.find("error") is None and case.find("skipped") is None:
            passed.add(name)
    return Run(frozenset(failed), frozenset(passed), output)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
