"""Hooks of schemathesis for what the document cannot express: formats, keys used once."""

import uuid
from typing import Any

import schemathesis
from hypothesis import strategies as st

STAGES = ("NEW", "IN_PROCESS", "PROCESSED", "CONVERTED", "JUNK")

schemathesis.openapi.format("stage", st.sampled_from(STAGES))
schemathesis.openapi.format("phone", st.integers(0, 9_999_999).map(lambda n: f"+7701{n:07}"))


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """A valid idempotency key belongs to one request, so each request gets its own."""
    for name, value in case.headers.items():
        # A link of the document passes a user's id on as a number; a header must be a text.
        case.headers[name] = str(value) if isinstance(value, int) else value
    if 1 <= len(case.headers.get("Idempotency-Key", "")) <= 255:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
