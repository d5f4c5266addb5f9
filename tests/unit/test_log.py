"""Log lines of a process: one JSON object each, without personal data."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.forks import Forks

BEGIN = """
import logging, structlog
from leadline.runtime.telemetry import log, trace_context
log.configure("some-service")
trace_context.begin("call-1")
logger = structlog.get_logger()
def fail():
    raise ValueError("Ivanka Petrova")
"""


class Program:
    """A program that logs, in a fresh process."""

    def __init__(self, forks: Forks, folder: Path) -> None:
        self._forks, self._folder = forks, folder

    def run(
        self, code: str, module: str = "program", **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """The result of this code as a module, or of the module with this name."""
        (self._folder / "program.py").write_text(code, encoding="utf-8")
        outputs = [self._folder / name for name in ("stdout", "stderr")]
        with outputs[0].open("wb") as out, outputs[1].open("wb") as err:
            fork = self._forks.start(
                module,
                env={**os.environ, **settings},
                folder=self._folder,
                stdout=out.fileno(),
                stderr=err.fileno(),
            )
            exit_code = fork.wait(60)
        stdout, stderr = (output.read_text(encoding="utf-8") for output in outputs)
        return subprocess.CompletedProcess((module,), exit_code, stdout, stderr)

    def output(self, code: str, **settings: str) -> str:
        """What this code prints after `BEGIN`."""
        result = self.run(BEGIN + code, **settings)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def lines(self, code: str, **settings: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output(code, **settings).splitlines()]


@pytest.fixture
def program(forks: Forks, tmp_path: Path) -> Program:
    return Program(forks, tmp_path)


def test_a_log_line_contains_time_service_and_event(program: Program) -> None:
    (line,) = program.lines("logger.info('write accepted', user_id=7)")
    assert line["event"] == "write accepted"
    assert (line["user_id"], line["level"], line["service"]) == (7, "info", "some-service")
    assert line["correlation_id"] == "call-1"
    assert line["timestamp"].endswith("Z")
    assert line["pid"] > 0


def test_an_exception_is_logged_with_its_stack_and_never_with_its_text(program: Program) -> None:
    (line,) = program.lines("try: fail()\nexcept ValueError: logger.exception('unexpected error')")
    assert line["exception"][0] == "ValueError"
    assert line["exception"][-1].endswith(" fail")
    assert "Ivanka" not in json.dumps(line)


def test_a_librarys_exception_is_logged_without_its_text_too(program: Program) -> None:
    statement = "logging.getLogger('some.library').exception('it broke')"
    (line,) = program.lines(f"try: fail()\nexcept ValueError: {statement}")
    assert (line["event"], line["level"], line["logger"]) == ("it broke", "error", "some.library")
    assert "Ivanka" not in json.dumps(line)


@pytest.mark.parametrize(
    "end", ["fail()", "import threading; threading.Thread(target=fail).start()"]
)
def test_an_uncaught_exception_is_one_line_without_its_text(program: Program, end: str) -> None:
    result = program.run(BEGIN + end)
    line = json.loads(result.stdout)
    assert (line["event"], line["level"]) == ("uncaught exception", "critical")
    assert line["exception"][0] == "ValueError"
    assert line["exception"][-1].endswith(" fail")
    assert "Ivanka" not in result.stdout
    assert result.stderr == ""


def test_a_process_that_cannot_start_logs_the_setting_that_is_wrong(program: Program) -> None:
    result = program.run(
        code="", module="leadline.sync.worker", REDIS_URL="http://127.0.0.1:6379/0"
    )
    line = json.loads(result.stdout)
    assert result.returncode == 1
    assert line["event"] == "uncaught exception"
    assert line["reason"].startswith("REDIS_URL must look like redis://")


def test_libraries_log_from_warning_on(program: Program) -> None:
    assert program.lines("logging.getLogger('some.library').info('no')") == []
    (line,) = program.lines("logging.getLogger('some.library').warning('yes')")
    assert line["event"] == "yes"


def test_errors_of_pika_are_not_logged(program: Program) -> None:
    """It logs a stack trace for each reconnect, which our own lines report already."""
    assert program.lines("logging.getLogger('pika.connection').error('no')") == []


def test_below_the_level_nothing_is_written(program: Program) -> None:
    assert program.lines("logger.debug('details')") == []
    assert program.lines("logger.warning('hm')", LEADLINE_LOG_LEVEL="ERROR") == []
    assert len(program.lines("logger.debug('details')", LEADLINE_LOG_LEVEL="DEBUG")) == 1


def test_a_value_of_any_type_can_be_logged(program: Program) -> None:
    (line,) = program.lines(
        "logger.info('odd', one=object, two={1, 2}, three=b'\\xff', four=float('nan'))"
    )
    assert line["event"] == "odd"


def test_the_console_form_is_readable_text(program: Program) -> None:
    text = program.output("logger.info('retry in %d ms', 2000, user_id=7)", LEADLINE_LOG="console")
    assert "retry in 2000 ms" in text
    assert "user_id=7" in text


SECRETS = {
    "DATABASE_URL": "postgresql://leadline:pgpassw0rd@db:5432/leadline",
    "AMQP_URL": "amqp://leadline:am%22qp%5Cpass@broker:5672/%2F",
    "REDIS_URL": "redis://:12345678@redis:6379/0",
    "BITRIX_WEBHOOK_URL": "https://portal.example/crm/7/webhookc0de/",
    "API_KEYS": "key-of-all\nread,write:key-of-some\nsite-of-ours:write:key-of-one",
}
HIDDEN = ("pgpassw0rd", 'am"qp\\pass', "am%22qp", "12345678", "webhookc0de", "key-of-")
READ = f"""
from leadline.runtime import secrets
read = [secrets.get(name.lower().replace("_", "-")) for name in {list(SECRETS)}]
"""


def secrets_in(text: str) -> list[str]:
    """Secrets in a line, in any quoting."""
    return [
        secret for secret in HIDDEN for form in (secret, json.dumps(secret)[1:-1]) if form in text
    ]


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "statement",
    [
        "logger.warning('odd', addresses=read)",
        "logger.warning('odd', deep={'list': [{address: 1} for address in read]})",
        "logger.warning('odd: ' + ' '.join(read))",
        r"""logger.warning('odd', own=['am"qp\\pass', 12345678, 'x12345678x', b'12345678'])""",
        "logger.warning('odd', error=ValueError(*read))",
        "logging.getLogger('some.library').warning('bad headers (url=%s)', read)",
        "logging.getLogger('some.library').error('bad', exc_info=ValueError(*read))",
        "try: raise ValueError(*read)\nexcept ValueError: logger.exception('odd')",
    ],
)
def test_a_secret_that_was_read_is_redacted_in_every_line(
    program: Program, statement: str, form: str
) -> None:
    text = program.output(READ + statement, LEADLINE_LOG=form, **SECRETS)
    assert "odd" in text or "bad" in text
    assert secrets_in(text) == []
    if form == "json":
        assert [json.loads(line)["service"] for line in text.splitlines()] == ["some-service"]


def test_a_secret_from_a_file_is_redacted_even_after_it_was_replaced(
    program: Program, tmp_path: Path
) -> None:
    replaced = """
import os
from pathlib import Path
from leadline.runtime import secrets
for code in ("firstc0de", "secondc0de"):
    Path(os.environ["LEADLINE_SECRETS_DIR"], "bitrix-webhook-url").write_text(
        f"https://portal.example/rest/1/{code}/"
    )
    secrets.get("bitrix-webhook-url")
    logger.info("codes firstc0de secondc0de")
"""
    first, second = program.lines(replaced, LEADLINE_SECRETS_DIR=str(tmp_path))
    assert first["event"] == "codes [hidden] secondc0de"
    assert second["event"] == "codes [hidden] [hidden]"


def test_anything_like_a_webhook_is_redacted_even_if_it_was_never_read(program: Program) -> None:
    (line,) = program.lines(
        "logger.info('moved', url='https://portal.example/rest/1/abc/batch.json?x=1')"
    )
    assert line["url"] == "https://portal.example/rest/1/[hidden]/batch.json?x=1"


def test_libraries_that_quote_addresses_do_not_warn(program: Program) -> None:
    names = "('urllib3.connectionpool', 'redis', 'requests')"
    statement = f"for name in {names}: logging.getLogger(name).{{}}"
    assert program.lines(statement.format("warning('Failed to parse headers (url=%s)', 1)")) == []
    assert len(program.lines(statement.format("error('it broke')"))) == 3


def test_a_line_without_secrets_stays_as_it_is(program: Program) -> None:
    """A password as short as a word, or equal to the user's name, is no secret."""
    weak = {
        "DATABASE_URL": "postgresql://leadline:leadline@db/leadline",
        "REDIS_URL": "redis://:pass@r",
    }
    (line,) = program.lines(
        READ + "logger.info('leadline: pass', count=7, share=0.5, on=True)", **weak
    )
    assert line["event"] == "leadline: pass"
    assert (line["count"], line["share"], line["on"]) == (7, 0.5, True)
