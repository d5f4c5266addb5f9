"""What this function does, in a sentence."""

import functions_framework
from flask import Request, Response

from leadline.runtime.http.endpoint import answer, endpoint


@functions_framework.http
@endpoint("GET", "POST")
def handle(_request: Request) -> Response:
    """200 with a greeting."""
    return answer({"message": "It works."})
