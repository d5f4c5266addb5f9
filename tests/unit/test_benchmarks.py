"""The benchmark's report: verdicts, and the comparison with the last record."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks.instruments import pgbench
from benchmarks.rendering.figures import Figure
from benchmarks.report import record
from benchmarks.report.comparison import compare, comparison_table
from benchmarks.sections import burst, footprint, latency, writes
from benchmarks.sections.section import Expectation, Measurement

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "benchmarks" / record.RESULTS


def test_the_report_matches_the_recorded_data(tmp_path: Path) -> None:
    shutil.copytree(RECORDED, tmp_path / record.RESULTS)
    text = record.write(tmp_path).read_text(encoding="utf-8")
    assert text == (ROOT / "benchmarks/RESULTS.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("function", pgbench.STATEMENTS)
def test_pgbench_knows_every_variable_that_it_finds_in_a_statement(function: str) -> None:
    found = set(re.findall(r"(?<!:):([A-Za-z_]\w*)", pgbench.script(function)))
    assert found <= {"id", *pgbench.variables_of(function)}


def test_a_quick_run_judges_only_what_its_scale_can_show(tmp_path: Path) -> None:
    store_drain(tmp_path, scale="quick", took_s=1_000.0)
    text = record.write(tmp_path).read_text(encoding="utf-8")
    assert verdict(text, "ideal / measured") == "not judged (quick)"
    assert verdict(text, "nothing refused") == "met"


def test_a_quick_run_still_shows_what_was_lost(tmp_path: Path) -> None:
    store_drain(tmp_path, scale="quick", refused=1)
    text = record.write(tmp_path).read_text(encoding="utf-8")
    assert verdict(text, "nothing refused") == "**not met**"


def test_a_full_run_is_judged(tmp_path: Path) -> None:
    store_drain(tmp_path, took_s=1_000.0)
    text = record.write(tmp_path).read_text(encoding="utf-8")
    assert verdict(text, "ideal / measured") == "**not met**"


def test_each_figure_stands_next_to_the_last_record(tmp_path: Path) -> None:
    store_drain(tmp_path, commit="0ld", took_s=76.0)
    record.keep_previous(tmp_path, "drain")
    store_drain(tmp_path, commit="new", took_s=95.0)
    text = record.write(tmp_path).read_text(encoding="utf-8")
    assert "the last record: 0ld, 2026-01-31 12:00 UTC" in text
    assert "| time | 95.0 s | 76.0 s | +25% |  |" in text
    assert "- drain: ideal / measured: 0.795 [0.795..0.795], last 0.993" in text


def test_a_quick_run_stands_next_to_the_record_without_marks(tmp_path: Path) -> None:
    store_drain(tmp_path / "record", took_s=76.0)
    store_drain(tmp_path / "quick", scale="quick", took_s=95.0)
    last = tmp_path / "record" / record.RESULTS
    text = record.write(tmp_path / "quick", last).read_text(encoding="utf-8")
    assert "| time | 95.0 s | 76.0 s | +25% |  |" in text
    assert "**worse**" not in text
    assert "- drain:" not in text


def test_a_first_run_has_nothing_to_compare(tmp_path: Path) -> None:
    store_drain(tmp_path)
    text = record.write(tmp_path).read_text(encoding="utf-8")
    assert "nothing to compare" in text
    assert "Not measured yet." in text


@pytest.mark.parametrize(
    ("now", "is_marked"),
    [
        # A figure is a median with the lowest and the highest of its repeats.
        (Measurement("a", Figure(1.2, 1.15, 1.3)), True),
        (Measurement("a", Figure(0.8, 0.7, 0.9)), False),
        (Measurement("a", Figure(1.2, 1.05, 1.3)), False),
        (Measurement("a", Figure(1.09, 1.08, 1.1)), False),
        (Measurement("a", Figure(1.2, 1.15, 1.3), "ms"), False),
        (Measurement("a", Figure(0.8, 0.7, 0.85), more_is_better=True), True),
        (Measurement("a", Figure(0.8, 0.7, 0.95), more_is_better=True), False),
        (Measurement("a", Figure(1.2, 1.15, 1.3), more_is_better=True), False),
        (Measurement("b", Figure(9, 9, 9)), False),
    ],
    ids=[
        "worse",
        "better",
        "within-the-spread",
        "by-less-than-a-tenth",
        "not-a-ratio",
        "less-where-more-is-better",
        "less-within-the-spread",
        "more-where-more-is-better",
        "new",
    ],
)
def test_a_ratio_that_got_worse_is_marked(now: Measurement, *, is_marked: bool) -> None:
    pairs = compare([now], [Measurement("a", Figure(1.0, 0.9, 1.07))])
    assert ("**worse**" in comparison_table(pairs, is_judged=True)) is is_marked


# The median may be 2.5 times that of hello, which is 1 ms here.
@pytest.mark.parametrize(
    ("p50_ms", "is_met"), [(2.4, True), (2.6, False)], ids=["close-to-hello", "slow"]
)
def test_a_write_at_one_connection_is_judged_by_its_median_latency(
    p50_ms: float, *, is_met: bool
) -> None:
    runs = [load_of("hello", 1.0), *(load_of(name, p50_ms) for name in ("create", "get"))]
    runs += [load_of("update", 1.0), load_of("move", 1.0)]
    runs += [
        {**load_of(f"pgbench {name}", 1.0), "mean_ms": 1.0}
        for name in ("create", "update", "move", "get")
    ]
    chapter = writes.SECTION.render({"runs": runs, "threads": 8, "users": 1})
    assert expectation(chapter.expectations, "create, c=1").is_met is is_met


@pytest.mark.parametrize(("rate", "limit_ms"), [(1, 270), (5, 300), (20, 450), (60, 850)])
def test_steady_arrivals_may_take_little_longer_than_the_portals_limit_requires(
    rate: int, limit_ms: float
) -> None:
    assert latency.limit_ms(rate) == limit_ms
    most_ms = limit_ms + latency.OWN_MS
    for median, is_met in ((most_ms, True), (most_ms + 1, False)):
        run: dict[str, Any] = {"per_s": rate, "requests": 2, "commands": 4, "refused": 0}
        run["users"] = [{"answer_ms": 5.0, "lead_ms": median}]
        chapter = latency.SECTION.render({**IDLE, "steady": [run]})
        assert expectation(chapter.expectations, f"arrivals at {rate}/s").is_met is is_met


def test_a_lone_user_after_a_drain_is_judged() -> None:
    for lead_ms, is_met in ((99.0, True), (101.0, False)):
        users = [{"answer_ms": 5.0, "lead_ms": lead_ms}]
        chapter = latency.SECTION.render({**IDLE, "drained": 300, "after_drain": users})
        assert expectation(chapter.expectations, "after a drain").is_met is is_met


@pytest.mark.parametrize(
    ("pss_mib", "cpu_percent", "met"),
    [(350.0, 2.0, [True, True]), (351.0, 2.0, [False, True]), (350.0, 2.1, [True, False])],
)
def test_an_idle_system_is_judged_by_the_sum_of_its_processes(
    pss_mib: float, cpu_percent: float, met: list[bool]
) -> None:
    usage = {"rss_mib": 900.0, "pss_mib": pss_mib, "cpu_percent": cpu_percent, "processes": 2}
    data = {"seconds": 60.0, "processes": {"worker": usage, "runner": usage}}
    chapter = footprint.SECTION.render(data)
    assert [measured.is_met for measured in chapter.expectations] == met


def test_the_cpu_time_of_a_burst_is_compared_with_hello() -> None:
    recorded = record.read(RECORDED)["burst"]["data"]
    cpu_ms = {"worker": 0.6, "worker-2": 0.6, "postgres": 5.0, "bitrix24": 0.3}
    run = {**recorded["runs"][0], "cpu_ms": cpu_ms, "hello_cpu_ms": 0.25}
    chapter = burst.SECTION.render({**recorded, "runs": [run]})
    assert expectation(chapter.expectations, "our processes").measured == "4.8 [4.8..4.8]"
    assert not expectation(chapter.expectations, "the emulator").is_met


IDLE: dict[str, Any] = {"answer_ms": [5.0], "lead_ms": [30.0], "settled_ms": [35.0]}


def load_of(target: str, p50_ms: float) -> dict[str, Any]:
    about = {"target": target, "repeat": 0, "connections": 1, "rate": 1.0, "errors": 0}
    cpu = {f"{name}_cpu_ms": 1.0 for name in ("app", "postgres", "rabbitmq")}
    return {**about, **cpu, "p50_ms": p50_ms, "p99_ms": p50_ms, "rss_mib": 1.0}


def store_drain(
    folder: Path, *, scale: str = "full", commit: str = "c0mm1t", **extra: object
) -> None:
    """Store the data of a drain as a benchmark run does, with `extra` in place of its figures."""
    about = {"scale": scale, "commit": commit, "started": "2026-01-31 12:00 UTC", "machine": "ours"}
    data = {"users": 10_000, "failed": 0, "sendings": 10_000, "requests": 200, "commands": 10_000}
    data |= {"refused": 0, "doubled": 0}
    times = {"took_s": 76.0, "ideal_s": 75.5, "deciles_s": [7.6 * n for n in range(1, 11)]}
    (folder / record.RESULTS).mkdir(parents=True, exist_ok=True)
    text = json.dumps({"about": about, "data": {**data, **times, **extra}})
    record.data_file(folder, "drain").write_text(text, encoding="utf-8")


def verdict(text: str, what: str) -> str:
    [line] = [line for line in text.splitlines() if line.startswith("| drain") and what in line]
    return line.split("|")[-2].strip()


def expectation(expectations: list[Expectation], what: str) -> Expectation:
    return next(expected for expected in expectations if what in expected.what)
