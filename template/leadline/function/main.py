"""GET or POST: describe this function in a sentence."""

import functions_framework
from flask import Request

from leadline.runtime.http.endpoint import RawResponse, endpoint, json_response


@functions_framework.http
@endpoint("GET", "POST")
def handle(_request: Request) -> RawResponse:
    """200 with a greeting."""
    return json_response({"message": "It works."})
