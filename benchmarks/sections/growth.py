"""Whether rates stay constant while tables grow a thousandfold."""

from contextlib import ExitStack
from itertools import product
from pathlib import Path

from benchmarks.instruments import tables
from benchmarks.instruments.laboratory import NO_LIMITS, Laboratory, whole_system
from benchmarks.rendering import plot
from benchmarks.rendering.figures import Figure, table
from benchmarks.scale import Scale
from benchmarks.sections import burst, writes
from benchmarks.sections.section import Chapter, Data, Expectation, Measurement, Section

#: By how much the rate at the largest size may be below that at the smallest.
MAX_SLOWDOWN = 0.10
_CONNECTIONS = 16
_FUNCTIONS = {"create": "create_user", "update": "update_user", "get": "get_user"}


def measure(scale: Scale, folder: Path) -> Data:
    """Measure one database of each size in turn, all in one Postgres."""
    runs: list[Data] = []
    with ExitStack() as stack:
        laboratory = Laboratory(folder / "laboratory")
        stack.enter_context(laboratory.running("postgres", "rabbitmq"))
        server = laboratory.url("postgres")
        urls = {
            users: tables.create_database(server, f"users_{users}", users)
            for users in scale.growth_users
        }
        sizes = {users: tables.size_mib(url) for users, url in urls.items()}
        runs += _functions(laboratory, urls, scale)
        for url in urls.values():
            tables.settle_all(url)  # or the relay would publish the open events during the bursts
        for repeat, (users, url) in product(range(scale.repeats), urls.items()):
            system_folder = folder / f"system-{users}-{repeat}"
            database = laboratory.functions_url(url)
            with whole_system(system_folder, **NO_LIMITS, DATABASE_URL=database) as system:
                burst.measure_burst(system, scale.burst_users // 10)  # not counted
                found = burst.measure_burst(system, scale.burst_users)
            facts = {"target": "events", "users": users, "repeat": repeat}
            runs.append({**facts, "rate": found["rate"]})
    return {"runs": runs, "size_mib": {str(users): size for users, size in sizes.items()}}


def _functions(laboratory: Laboratory, urls: dict[int, str], scale: Scale) -> list[Data]:
    """The rates of single functions; each has one process per size."""
    served = {
        (users, name): laboratory.serve(function, DATABASE_URL=url)
        for users, url in urls.items()
        for name, function in _FUNCTIONS.items()
    }
    runs = []
    for repeat in range(scale.repeats):
        for (users, name), function in served.items():
            request = writes.function_requests(laboratory.key, users)[name]
            found = writes.measure_load(laboratory, function, request, _CONNECTIONS, scale)
            runs.append({"target": name, "users": users, "repeat": repeat, **found})
    laboratory.stop_all()
    return runs


def render(data: Data) -> Chapter:
    """The rates at each size, and their ratio at the largest and the smallest."""
    runs = data["runs"]
    sizes = sorted({run["users"] for run in runs})
    targets = list(dict.fromkeys(run["target"] for run in runs))
    rates = {target: {users: _figure(runs, target, users) for users in sizes} for target in targets}
    lines, expectations, measurements = [], [], []
    for target in targets:
        ratio = _ratio(runs, target, sizes[0], sizes[-1])
        lines.append((target, *(rates[target][users].text() for users in sizes), ratio.text(2)))
        what = f"{target}, {sizes[-1]:,} users against {sizes[0]:,}"
        bound = f"within {MAX_SLOWDOWN:.0%}"
        expectations.append(
            Expectation(what, bound, ratio.text(2), ratio.median >= 1 - MAX_SLOWDOWN)
        )
        measurements += [
            Measurement(f"{target}, {users:,} users", figure, "/s", digits=0, more_is_better=True)
            for users, figure in rates[target].items()
        ]
        measurements.append(Measurement(what, ratio, more_is_better=True))
    head = ("per second", *(f"{users:,} users" for users in sizes), "last / first, same repeat")
    disk = ", ".join(f"{data['size_mib'][str(users)]:,.0f} MiB with {users:,}" for users in sizes)
    text = (
        f"As many settled events as users. Requests over {_CONNECTIONS} connections for random"
        f" users; events: the burst through a whole system. On disk: {disk}.\n\n"
        + table(head, lines)
    )
    bars = {
        target: {f"{users:,}": figure for users, figure in by_users.items()}
        for target, by_users in rates.items()
    }
    svg = plot.bars("Rates by users in the tables", "per second", bars)
    return Chapter(text, {"growth.svg": svg}, expectations, measurements)


def _figure(runs: list[Data], target: str, users: int) -> Figure:
    return Figure.of(
        run["rate"] for run in runs if (run["target"], run["users"]) == (target, users)
    )


def _ratio(runs: list[Data], target: str, first: int, last: int) -> Figure:
    by_key = {(run["users"], run["repeat"]): run["rate"] for run in runs if run["target"] == target}
    repeats = {run["repeat"] for run in runs}
    return Figure.of(by_key[last, repeat] / by_key[first, repeat] for repeat in repeats)


SECTION = Section("growth", "Growth of the tables", measure, render)
