"""Log lines of a process: one JSON object each, and nothing personal in them."""

import json
import os
import subprocess
import sys
from typing import Any

BEGIN = """
import logging, structlog
from leadline.runtime import context, log
log.configure("some-service")
context.begin("call-1")
logger = structlog.get_logger()
def fail():
    raise ValueError("Ivanka Petrova")
"""


def printed(code: str, **settings: str) -> str:
    """What a process writes that runs this code."""
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        env={**os.environ, **settings},
        capture_output=True,
        check=True,
        text=True,
    ).stdout


def lines(code: str, **settings: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in printed(code, **settings).splitlines()]


def test_a_line_says_when_who_and_what() -> None:
    (line,) = lines("logger.info('write accepted', user_id=7)")
    assert line["event"] == "write accepted"
    assert (line["user_id"], line["level"], line["service"]) == (7, "info", "some-service")
    assert line["correlation_id"] == "call-1"
    assert line["timestamp"].endswith("Z")
    assert line["pid"] > 0


def test_an_exception_is_told_by_its_places_and_never_by_its_text() -> None:
    (line,) = lines("try: fail()\nexcept ValueError: logger.exception('unexpected error')")
    assert line["exception"][0] == "ValueError"
    assert line["exception"][-1].endswith(" fail")
    assert "Ivanka" not in json.dumps(line)


def test_a_librarys_exception_is_told_without_its_text_too() -> None:
    speak = "logging.getLogger('some.library').exception('it broke')"
    (line,) = lines(f"try: fail()\nexcept ValueError: {speak}")
    assert (line["event"], line["level"], line["logger"]) == ("it broke", "error", "some.library")
    assert "Ivanka" not in json.dumps(line)


def test_libraries_speak_from_warning_on() -> None:
    quiet = "for name in ('some.library', 'pika.connection'): logging.getLogger(name).info('no')"
    assert lines(quiet) == []
    assert lines("logging.getLogger('pika.connection').error('no')") == []


def test_below_the_level_nothing_is_written() -> None:
    assert lines("logger.debug('details')") == []
    assert lines("logger.warning('hm')", LEADLINE_LOG_LEVEL="ERROR") == []
    assert len(lines("logger.debug('details')", LEADLINE_LOG_LEVEL="DEBUG")) == 1


def test_a_value_of_any_type_can_be_logged() -> None:
    (line,) = lines("logger.info('odd', one=object, two={1, 2}, three=b'\\xff', four=float('nan'))")
    assert line["event"] == "odd"


def test_the_readable_form_is_for_people() -> None:
    text = printed("logger.info('retry in %d ms', 2000, user_id=7)", LEADLINE_LOG="console")
    assert "retry in 2000 ms" in text
    assert "user_id=7" in text
