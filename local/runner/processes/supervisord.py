"""supervisord, with Python programs forked from it: `python -m local.runner.processes.supervisord`.

It imports once what functions, workers and connector have in common. A fork of it shares these
pages with all others and need not import them again; for the rest it is as `python -m`. What has
state stays out: no connection, thread or random generator, no metric or check of a process.
"""

import gc
import importlib
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":  # before the imports that it speeds up
    from leadline.runtime.serving import cold_start

    cold_start.prepare()

from supervisor.medusa import asyncore_25 as asyncore
from supervisor.options import ServerOptions
from supervisor.supervisord import Supervisor

from leadline.runtime.serving import cold_start
from local.runner.processes import forked

#: What at least two programs import, directly or through another module; each imports the rest.
SHARED = (
    "aiohttp.web",
    "functions_framework",
    "granian.server.embed",
    "http.server",
    "pg8000.native",
    "pika.adapters.asyncio_connection",
    "pydantic.dataclasses",
    "requests",
    "rq.serializers",
    "uuid_utils.compat",
    "uvloop",
    "leadline.bitrix24.operating_budget",
    "leadline.bitrix24.session",
    "leadline.bitrix24.token_bucket",
    "leadline.ledger.event",
    "leadline.ledger.upsert.outcome",
    "leadline.ledger.write_sql",
    "leadline.mapping.field_map",
    "leadline.mapping.lead_values",
    "leadline.mapping.portal_fields",
    "leadline.messages.attempt_log",
    "leadline.messages.topology",
    "leadline.runtime.http.cross_site",
    "leadline.runtime.http.rate_limit",
    "leadline.runtime.postgres.json_rows",
    "leadline.runtime.postgres.pool",
    "leadline.runtime.rabbitmq.corked_connection",
    "leadline.runtime.rabbitmq.tolerant_properties",
    "leadline.runtime.redis",
    "leadline.runtime.serving.health",
    "leadline.runtime.telemetry.log",
    "leadline.users.phones",
    "leadline.users.stages",
    "leadline.users.views",
    "leadline.workqueue.circuit_breaker",
    "leadline.workqueue.lua",
)
#: Packages of the checkout, which a developer edits while the system runs.
_OURS = frozenset({"leadline", "local"})

_loaded_at = time.time()
_loaded: list[Path] = []


class Options(ServerOptions):  # type: ignore[misc] # supervisor has no types
    """supervisord's options, with another way to become a program."""

    def execve(self, filename: str, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Become this program, called in a forked child; a Python module runs without an exec."""
        module = forked.module_of(argv)
        if module is None or _has_changed():
            super().execve(filename, argv, env)
        else:
            forked.run(module, argv, env)


def load() -> None:
    """Import what the programs share, and keep the garbage collector off these pages."""
    for name in SHARED:
        importlib.import_module(name)
    # Listed here and not in a child, which would copy the pages of all modules.
    our_modules = [name for name in sys.modules if name.partition(".")[0] in _OURS]
    _loaded.extend(Path(sys.modules[name].__file__ or "") for name in our_modules)
    gc.freeze()
    gc.enable()


def _has_changed() -> bool:
    """Whether a loaded file of ours was edited since: then a program must import it again."""
    return any(not path.exists() or path.stat().st_mtime > _loaded_at for path in _loaded)


def main() -> None:
    """Supervise until SIGTERM."""
    load()
    options = Options()
    options.realize(doc=__doc__)
    # As supervisor.supervisord.main sets them for its first and only round.
    options.first = True
    options.test = False
    with suppress(asyncore.ExitNow):
        Supervisor(options).main()


if __name__ == "__main__":
    main()
