"""How fast Postgres runs the very statements of the functions: pgbench, prepared, one thread."""

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping

from leadline.runtime.database import connect_options
from leadline.users import read, store
from local.runner.servers.postgres import binary

# Not published by their modules: nobody but them should run these.
_WRITE = store._EVENT + store._RESULT  # noqa: SLF001
_CREATE = store._CREATE + _WRITE  # noqa: SLF001
_CHANGE = store._CHANGE + _WRITE  # noqa: SLF001
_ONE = read._ONE  # noqa: SLF001

_TRACE = {
    "correlation_id": "0199b1c2-7a11-7c3e-8000-000000000000",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "grace_s": "5",
}
_TPS = re.compile(r"tps = ([0-9.]+) \(without")
_MEAN = re.compile(r"latency average = ([0-9.]+) ms")

#: The statement and the parameters of each function.
STATEMENTS: dict[str, tuple[str, dict[str, str | None]]] = {
    "create": (
        _CREATE,
        {
            **_TRACE,
            "full_name": "Иван Иванов",
            "phone": "+77001112233",
            "stage": "NEW",
            "action": "create_card",
            "changed": "full_name,phone,stage",
        },
    ),
    "update": (
        _CHANGE,
        {
            **_TRACE,
            "full_name": "Иван Петров",
            "phone": None,
            "stage": None,
            "expected_version": None,
            "action": "update_card",
            "changed": "full_name",
        },
    ),
    "move": (
        _CHANGE,
        {
            **_TRACE,
            "full_name": None,
            "phone": None,
            "stage": "IN_PROCESS",
            "expected_version": None,
            "action": "move_card",
            "changed": "stage",
        },
    ),
    "get": (_ONE, {}),
}


def run(url: str, function: str, connections: int, seconds: int, users: int) -> tuple[float, float]:
    """Statements a second, and the mean milliseconds of one; ids are random up to `users`."""
    sql, given = STATEMENTS[function]
    options = connect_options(url)
    with tempfile.NamedTemporaryFile("w", suffix=".sql", encoding="utf-8") as script:
        script.write(f"\\set id random(1, {users})\n{_filled(sql, given).strip()};\n")
        script.flush()
        variables = [f"-D{name}={value}" for name, value in given.items() if value is not None]
        words = (
            *(binary("pgbench"), "-n", "-Mprepared", "-j1", f"-c{connections}", f"-T{seconds}"),
            *(f"-f{script.name}", *variables),
            *("-h", options["host"], "-p", str(options["port"]), "-U", options["user"]),
            options["database"],
        )
        env = {**os.environ, "PGPASSWORD": options["password"]}
        done = subprocess.run(  # noqa: S603
            words, check=True, capture_output=True, text=True, env=env, timeout=seconds + 60
        )
    return _number(_TPS, done.stdout), _number(_MEAN, done.stdout)


def _filled(sql: str, given: Mapping[str, str | None]) -> str:
    """What pgbench has no variables for, written into the statement: NULL and a new event's id."""
    sql = sql.replace("CAST(:event_id AS uuid)", "gen_random_uuid()")
    for name, value in given.items():
        if value is None:
            sql = re.sub(rf":{name}\b", "NULL", sql)
    return sql


def _number(pattern: re.Pattern[str], output: str) -> float:
    found = pattern.search(output)
    if found is None:
        raise RuntimeError(f"pgbench said: {output}")
    return float(found[1])
