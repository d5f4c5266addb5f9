"""Each function alone under load, compared with a bare hello on the same server, and pgbench."""

from itertools import product
from pathlib import Path

import pika

from benchmarks.instruments import pgbench, tables, wrk
from benchmarks.instruments.laboratory import THREADS, FunctionProcess, Laboratory
from benchmarks.instruments.processes import CpuMeter, await_idle, pss_mib, rss_mib
from benchmarks.rendering import plot
from benchmarks.rendering.figures import Figure, table
from benchmarks.scale import Scale
from benchmarks.sections.section import Chapter, Data, Expectation, Measurement, Section
from leadline.messages import topology

#: Lower bounds of the rate in multiples of hello's: of writes by connections, of reads by function.
RATIOS = {16: 0.45, 64: 0.55}
READ_RATIOS = {"get": 0.7, "list": 0.5}
#: Upper bound of the 99th percentile in multiples of the median.
P99_FACTOR = 3
#: Upper bound of the median latency in multiples of hello's, at one connection without other load.
P50_FACTOR = 2.5
#: Upper bound of the serving process's memory.
RSS_MIB = 110
_WRITES = ("create", "update", "move")
_FUNCTIONS = {
    "hello": "hello",
    "create": "create_user",
    "update": "update_user",
    "move": "move_user",
    "get": "get_user",
    "list": "list_users",
}


def function_requests(key: str, users: int) -> dict[str, wrk.Request]:
    """The request that loads each function, by the function's name in this section."""
    new = '{"full_name": "Иван Иванов", "phone": "+77001112233", "stage": "NEW"}'
    return {
        "hello": wrk.Request("GET", "/"),
        "create": wrk.Request("POST", "/users", new, key),
        "update": wrk.Request("PATCH", "/users/{id}", '{"full_name": "Иван Петров"}', key, users),
        "move": wrk.Request("POST", "/users/{id}/move", '{"stage": "IN_PROCESS"}', key, users),
        "get": wrk.Request("GET", "/users/{id}", "", key, users),
        "list": wrk.Request("GET", "/users", "", key),
    }


def measure(scale: Scale, folder: Path) -> Data:
    """Load each function in turn, repeatedly."""
    runs: list[Data] = []
    with Laboratory(folder).running("postgres", "rabbitmq") as laboratory:
        tables.fill(laboratory.url("postgres"), scale.users)
        served = {name: laboratory.serve(function) for name, function in _FUNCTIONS.items()}
        requests = function_requests(laboratory.key, scale.users)
        for repeat, connections in product(range(scale.repeats), scale.connections):
            about = {"repeat": repeat, "connections": connections}
            for name, function in served.items():
                found = measure_load(laboratory, function, requests[name], connections, scale)
                runs.append({"target": name, **about, **found})
            for name in pgbench.STATEMENTS:
                rate, mean_ms = pgbench.run(
                    laboratory.url("postgres"), name, connections, scale.load_s, scale.users
                )
                runs.append(
                    {"target": f"pgbench {name}", **about, "rate": rate, "mean_ms": mean_ms}
                )
    return {"runs": runs, "threads": THREADS, "users": scale.users}


def measure_load(
    laboratory: Laboratory,
    served: FunctionProcess,
    request: wrk.Request,
    connections: int,
    scale: Scale,
) -> Data:
    """Load one function; returns its rate, latencies, CPU time per request and memory."""
    wrk.load(served.url, request, connections, scale.warm_up_s)
    pids = {
        "app": served.process.pid,
        **{name: laboratory.servers[name].pid for name in ("postgres", "rabbitmq")},
    }
    await_idle(pids.values())
    meter = CpuMeter(pids)
    load = wrk.load(served.url, request, connections, scale.load_s)
    memory = {"rss_mib": rss_mib(served.process.pid), "tree_mib": pss_mib(served.process.pid)}
    await_idle(pids.values())
    used = meter.used_s()
    _purge(laboratory.url("rabbitmq"))
    return {
        "rate": load.rate,
        "p50_ms": load.p50_ms,
        "p99_ms": load.p99_ms,
        "errors": load.errors,
        **{f"{name}_cpu_ms": used[name] / load.requests * 1000 for name in pids},
        **memory,
    }


def _purge(amqp_url: str) -> None:
    """Purge the queue, which has no consumer and would grow with each load."""
    with pika.BlockingConnection(pika.URLParameters(amqp_url)) as connection:
        channel = connection.channel()
        for queue in topology.queues_of(topology.REQUESTS):
            channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
        channel.queue_purge(topology.REQUESTS)


def render(data: Data) -> Chapter:
    """Rates, ratios to hello in the same repeat, latencies, CPU and memory."""
    runs = data["runs"]
    connections = sorted({run["connections"] for run in runs})
    functions = [name for name in _FUNCTIONS if any(run["target"] == name for run in runs)]
    head = (
        "function",
        "c",
        "req/s",
        "of hello",
        "p50 ms",
        "of hello",
        "p99 ms",
        "app CPU ms/req",
        "of hello",
        "Postgres",
        "RabbitMQ",
        "RSS MiB",
        "errors",
    )
    lines = [_line(runs, name, c) for name, c in product(functions, connections)]
    limits = [
        (name, c, _figure(runs, f"pgbench {name}", c, "rate").text(), _mean(runs, name, c))
        for name, c in product(pgbench.STATEMENTS, connections)
    ]
    text = (
        f"Each function with its own server: 1 worker, {data['threads']} threads, auth and log on,"
        f" secrets in files, {data['users']:,} users in the table, all on the same machine as wrk."
        " `of hello`: the figure before it divided by that of the bare hello in the same repeat."
        " RSS: the serving process.\n\n"
        + table(head, lines)
        + "\nThe same statements by pgbench (prepared, one thread): the limit of the database.\n\n"
        + table(("statement", "c", "tps", "mean ms"), limits)
    )
    rates = {
        name: {f"c={c}": _figure(runs, name, c, "rate") for c in connections} for name in functions
    }
    p99 = {
        name: {f"c={c}": _figure(runs, name, c, "p99_ms") for c in connections}
        for name in functions
    }
    plots = {
        "writes-rate.svg": plot.bars(
            "Requests per second", "median, whisker: lowest..highest", rates
        ),
        "writes-p99.svg": plot.bars("99th percentile of the latency", "ms", p99),
    }
    expectations = _expectations(runs, functions, connections)
    measurements = [
        measurement
        for name, c in product(functions, connections)
        for measurement in _measurements(runs, name, c)
    ]
    return Chapter(text, plots, expectations, measurements)


def _expectations(
    runs: list[Data], functions: list[str], connections: list[int]
) -> list[Expectation]:
    expectations = []
    loaded = [name for name in functions if name != "hello"]
    for name in _WRITES if 1 in connections else ():
        slower = _ratio(runs, name, 1, "p50_ms")
        bound = f"median latency <= {P50_FACTOR} x hello's"
        expectations.append(
            Expectation(f"{name}, c=1", bound, slower.text(2), slower.median <= P50_FACTOR)
        )
    for name, c in product(loaded, [c for c in connections if c > 1]):
        least = READ_RATIOS.get(name) or RATIOS[c]
        ratio = _ratio(runs, name, c, "rate")
        bound = f">= {least:.2f} of hello's req/s"
        expectations.append(
            Expectation(f"{name}, c={c}", bound, ratio.text(2), ratio.median >= least)
        )
        if name not in _WRITES:
            continue
        tails = [
            run["p99_ms"] / run["p50_ms"]
            for run in runs
            if run["target"] == name and run["connections"] == c
        ]
        tail = Figure.of(tails)
        expectations.append(
            Expectation(
                f"{name}, c={c}",
                f"p99 <= {P99_FACTOR} x median latency",
                tail.text(1),
                tail.median <= P99_FACTOR,
            )
        )
    for name in loaded:
        rss = Figure.of(run["rss_mib"] for run in runs if run["target"] == name)
        bound = f"RSS under load < {RSS_MIB} MiB"
        expectations.append(Expectation(name, bound, f"{rss.highest:.0f}", rss.highest < RSS_MIB))
    errors = sum(run.get("errors", 0) for run in runs)
    expectations.append(
        Expectation("all of these", "no error", str(errors), errors == 0, at_any_scale=True)
    )
    return expectations


def _line(runs: list[Data], name: str, c: int) -> tuple[object, ...]:
    """The line of a function; `c`, here and below: the number of connections, as in the table."""

    def cell(field: str, digits: int) -> str:
        return _figure(runs, name, c, field).text(digits)

    def of_hello(field: str) -> str:
        return _ratio(runs, name, c, field).text(2)

    return (
        name,
        c,
        cell("rate", 0),
        of_hello("rate"),
        cell("p50_ms", 2),
        of_hello("p50_ms"),
        cell("p99_ms", 1),
        cell("app_cpu_ms", 3),
        of_hello("app_cpu_ms"),
        cell("postgres_cpu_ms", 3),
        cell("rabbitmq_cpu_ms", 3),
        cell("rss_mib", 0),
        sum(run["errors"] for run in _runs_with(runs, name, c)),
    )


def _measurements(runs: list[Data], name: str, c: int) -> list[Measurement]:
    def figure(field: str) -> Figure:
        return _figure(runs, name, c, field)

    what = f"{name}, c={c}"
    ratios = [
        Measurement(f"{what}: req/s of hello", _ratio(runs, name, c, "rate"), more_is_better=True),
        Measurement(f"{what}: p50 of hello", _ratio(runs, name, c, "p50_ms")),
        Measurement(f"{what}: CPU of hello", _ratio(runs, name, c, "app_cpu_ms")),
    ]
    return [
        *(ratios if name != "hello" else ()),
        Measurement(f"{what}: req/s", figure("rate"), "/s", digits=0, more_is_better=True),
        Measurement(f"{what}: p50", figure("p50_ms"), "ms"),
        Measurement(f"{what}: p99", figure("p99_ms"), "ms", digits=1),
        Measurement(f"{what}: app CPU per request", figure("app_cpu_ms"), "ms", digits=3),
        Measurement(f"{what}: RSS", figure("rss_mib"), "MiB", digits=0),
    ]


def _runs_with(runs: list[Data], target: str, c: int) -> list[Data]:
    return [run for run in runs if run["target"] == target and run["connections"] == c]


def _figure(runs: list[Data], target: str, c: int, field: str) -> Figure:
    return Figure.of(run[field] for run in _runs_with(runs, target, c))


def _mean(runs: list[Data], name: str, c: int) -> str:
    return _figure(runs, f"pgbench {name}", c, "mean_ms").text(2)


def _ratio(runs: list[Data], name: str, c: int, field: str) -> Figure:
    """The ratio to hello in the same repeat."""
    hello = {run["repeat"]: run[field] for run in _runs_with(runs, "hello", c)}
    return Figure.of(run[field] / hello[run["repeat"]] for run in _runs_with(runs, name, c))


SECTION = Section("writes", "One function under load", measure, render)
