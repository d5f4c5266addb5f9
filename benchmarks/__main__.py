"""`python -m benchmarks [--quick] [SECTION...]`: measure, store the data, rewrite the report.

A full run also updates the figures in both READMEs.
"""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

from benchmarks.instruments.machine import facts
from benchmarks.report import readme, record
from benchmarks.report.record import RESULTS, SECTIONS, data_file
from benchmarks.scale import FULL, QUICK, Scale
from benchmarks.sections.section import Section
from local.runner.processes.program import CHECKOUT

OUTPUT = CHECKOUT / "benchmarks"
#: The servers' data, deleted after each section. Not in `.local`: the next `make run` would stop
#: every server that it finds there.
WORK = CHECKOUT / ".bench"
#: Separate from the record; the report of a quick run compares its figures with the record.
QUICK_OUTPUT = WORK / "quick"


def main() -> int:
    """Measure the sections; returns 0 even if expectations were not met."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="small scale, to try it out")
    parser.add_argument("--report", action="store_true", help="only rewrite report and READMEs")
    parser.add_argument("--figures", action="store_true", help="only update the READMEs' figures")
    options = parser.parse_args()
    unknown = set(options.sections) - SECTIONS.keys()
    if unknown:
        parser.error(f"there is no section {', '.join(sorted(unknown))}")
    if options.figures:
        _update_readmes()
        return 0
    output = QUICK_OUTPUT if options.quick else OUTPUT
    # A quick run is compared with the record, a full one with the data that it replaces.
    last = OUTPUT / RESULTS if options.quick else None
    (output / RESULTS).mkdir(parents=True, exist_ok=True)
    to_measure = [] if options.report else options.sections or list(SECTIONS)
    for name in to_measure:
        _run(SECTIONS[name], QUICK if options.quick else FULL, output)
        record.write(output, last)  # the report exists even if the next section fails
    _report_written(record.write(output, last))
    if not options.quick:
        _update_readmes()
    return 0


def _update_readmes() -> None:
    for path in readme.update(CHECKOUT, OUTPUT / RESULTS):
        _report_written(path)


def _report_written(path: Path) -> None:
    sys.stdout.write(f"written: {path.relative_to(CHECKOUT)}\n")


def _run(section: Section, scale: Scale, output: Path) -> None:
    sys.stdout.write(f"· {section.name}: {section.title.lower()}\n")
    sys.stdout.flush()
    work = WORK / section.name
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    about = facts()
    started = time.time()
    data = section.measure(scale, work)
    took_s = time.time() - started
    when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(started))
    about |= {"scale": scale.name, "started": when, "took": f"{took_s:.0f} s"}
    text = json.dumps({"about": about, "data": data}, indent=1)
    if scale is FULL:
        record.keep_previous(output, section.name)
    data_file(output, section.name).write_text(text + "\n", encoding="utf-8")
    shutil.rmtree(work)
    sys.stdout.write(f"  {took_s:.0f} s\n")


if __name__ == "__main__":
    sys.exit(main())
