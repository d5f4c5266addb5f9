"""How fast Postgres runs the statements of the functions: pgbench, prepared, one thread."""

import os
import re
import subprocess
import tempfile

from leadline.ledger import write_sql
from leadline.runtime.postgres.dsn import servers
from leadline.users import queries
from local.runner.servers.postgres import binary

_GET = queries._ONE  # noqa: SLF001 - the benchmark runs the function's own statement

#: One write as JSON, built in SQL, since pgbench substitutes no variables within a string.
_WRITES = """json_build_array(json_build_object('id', CAST(:id AS bigint), {fields}))"""

_TRACE = {
    "correlation_id": "0199b1c2-7a11-7c3e-8000-000000000000",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
_TPS = re.compile(r"tps = ([0-9.]+) \(without")
_MEAN = re.compile(r"latency average = ([0-9.]+) ms")
#: A colon in a format such as HH24:MI:SS, which pgbench would take for a variable. Those of our
#: parameters precede lower case.
_COLON = re.compile(":(?=[A-Z])")

#: The statement and the parameters of each function.
STATEMENTS: dict[str, tuple[str, dict[str, str]]] = {
    "create": (
        write_sql.CREATE,
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
        write_sql.CHANGE,
        {
            **_TRACE,
            "full_name": "Иван Петров",
            "action": "update_card",
            "changed": "full_name",
        },
    ),
    "move": (
        write_sql.CHANGE,
        {
            **_TRACE,
            "stage": "IN_PROCESS",
            "action": "move_card",
            "changed": "stage",
        },
    ),
    "get": (_GET, {}),
}


def run(url: str, function: str, connections: int, seconds: int, users: int) -> tuple[float, float]:
    """Run a function's statement for `seconds`, for random users with ids up to `users`.

    Returns statements per second, and mean milliseconds per statement.
    """
    options = servers(url).options[0]
    with tempfile.NamedTemporaryFile("w", suffix=".sql", encoding="utf-8") as file:
        file.write(f"\\set id random(1, {users})\n{script(function).strip()};\n")
        file.flush()
        variables = [f"-D{name}={value}" for name, value in variables_of(function).items()]
        load = ("-n", "-Mprepared", "-j1", f"-c{connections}", f"-T{seconds}", f"-f{file.name}")
        server = ("-h", options["host"], "-p", str(options["port"]), "-U", options["user"])
        words = (binary("pgbench"), *load, *variables, *server, options["database"])
        env = {**os.environ, "PGPASSWORD": options["password"]}
        result = subprocess.run(  # noqa: S603
            words, check=True, capture_output=True, text=True, env=env, timeout=seconds + 60
        )
    return _number(_TPS, result.stdout), _number(_MEAN, result.stdout)


def variables_of(function: str) -> dict[str, str]:
    """The variables of the script, apart from `id`."""
    _, params = STATEMENTS[function]
    return {**params, "grace_s": "5"}  # LEADLINE_PUBLISH_GRACE_S by default


def script(function: str) -> str:
    """The function's statement for pgbench: one write, whose event id is generated."""
    sql, params = STATEMENTS[function]
    fields = "'event_id', gen_random_uuid()" + "".join(
        f", '{name}', CAST(:{name} AS text)" for name in params
    )
    filled = sql.replace("CAST(:writes AS json)", _WRITES.format(fields=fields))
    return _COLON.sub("' || chr(58) || '", filled)


def _number(pattern: re.Pattern[str], output: str) -> float:
    found = pattern.search(output)
    if found is None:
        raise RuntimeError(f"pgbench said: {output}")
    return float(found[1])
