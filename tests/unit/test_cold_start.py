"""A function loads only what it needs before it serves: imports dominate its cold start."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
FUNCTIONS = sorted(path.parent.name for path in CHECKOUT.glob("functions/*/main.py"))

#: 10 to 100 ms each; pydantic, structlog and functions-framework are in every function.
COSTLY = {
    *("pg8000", "phonenumbers", "pika", "prometheus_client", "redis", "requests", "rq"),
    *("opentelemetry", "rich"),
}
#: The costly packages that a function's first answer needs, or that this design can't avoid.
LOADED = {
    "create_user": {"pg8000", "pika"},
    "update_user": {"pg8000", "pika"},
    "move_user": {"pg8000", "pika"},
    "upsert_users": {"pg8000", "pika"},
    "delete_user": {"pg8000", "pika"},
    "get_user": {"pg8000"},
    "list_users": {"pg8000"},
    "bitrix_handler": {"redis", "rq"},
    "reply_handler": {"pg8000"},
    "outbox_relay": {"pg8000", "pika"},
    "console": set[str](),
    "openapi": set[str](),
}

PRINT_FACTS = """
import gc, json, sys
from pathlib import Path
from leadline.runtime.serving import cold_start
cold_start.prepare()
from leadline.runtime.serving.serve import build_app
build_app(Path(sys.argv[1]))
cold_start.freeze()
loaded = sorted(name for name, module in sys.modules.items() if module)
print(json.dumps({"loaded": loaded, "collects": gc.isenabled(), "frozen": gc.get_freeze_count()}))
"""


def facts_of_ready_process(function: str, **env: str) -> Any:
    """The facts printed by a process in which this function is ready to serve."""
    result = subprocess.run(
        [sys.executable, "-c", PRINT_FACTS, f"functions/{function}"],
        cwd=CHECKOUT,
        env={"LEADLINE_AUTH": "off", **env},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_loads_only_what_its_first_answer_needs(function: str) -> None:
    assert COSTLY & set(facts_of_ready_process(function)["loaded"]) == LOADED[function]


def test_a_function_collects_garbage_once_it_is_loaded() -> None:
    found = facts_of_ready_process("console")
    assert found["collects"]
    assert found["frozen"] > 10_000  # objects: its packages alone make more


def test_tracing_is_loaded_when_it_is_configured() -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    assert "opentelemetry" in facts_of_ready_process("bitrix_handler", **settings)["loaded"]


@pytest.mark.parametrize(
    "module",
    [
        "leadline.sync.worker",
        "leadline.connector.consumer",
        "leadline.connector.schedule",
        "local.gateway",
    ],
)
def test_a_long_running_process_loads_no_optional_package(module: str) -> None:
    """Packages imported at its start stay in memory."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", module],
        cwd=CHECKOUT,
        env={"LEADLINE_AUTH": "off"},  # without settings it ends after its imports
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "structlog" in loaded
    assert not {"opentelemetry.sdk.metrics._internal", "rich.pretty"} & loaded


def run_in_fresh_interpreter(code: str) -> None:
    """Run this code in a fresh interpreter."""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


FIRST_USE = """
import sys, threading
sys.setswitchinterval(1e-6)
from leadline.messages.contract import Reply
from leadline.users.model import Changes, NewUser

body = {"full_name": "Анна", "phone": "+77001112233"}
wrong = []
begin = threading.Barrier(16)

def use():
    begin.wait()
    if NewUser.model_validate(body).full_name != "Анна":
        wrong.append("a user")
    if Changes.model_validate({"full_name": "Анна"}).phone is not None:
        wrong.append("a change")
    reply = {"status": "success", "action": "create_card", "user_id": 1}
    if Reply.model_validate(reply).attempts != 1:
        wrong.append("a reply")

def use_and_record_errors():
    try:
        use()
    except BaseException as error:
        wrong.append(repr(error))

threads = [threading.Thread(target=use_and_record_errors) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not wrong, wrong
"""


def test_models_are_built_at_their_first_use_by_whichever_thread() -> None:
    for _ in range(3):
        run_in_fresh_interpreter(FIRST_USE)


UNUSED_MODELS = """
from leadline.users import model, views
from leadline.messages import contract
for found in (model.NewUser, model.Changes, views.Query, contract.Request, contract.Reply):
    assert not found.__pydantic_complete__, found
"""


def test_no_model_is_built_by_its_import() -> None:
    run_in_fresh_interpreter(UNUSED_MODELS)
