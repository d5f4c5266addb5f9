"""The baseline: what a bare function costs."""

import functions_framework
from flask import Request


@functions_framework.http
def hello(_request: Request) -> str:
    """Respond 200 with `hello`."""
    return "hello"
