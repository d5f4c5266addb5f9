"""bitrix_queue → the work queue: enqueue events and wake a worker."""

import functions_framework
from flask import Request, Response

from leadline.messages.cloudevents import receive
from leadline.runtime.http.endpoint import endpoint
from leadline.sync import enqueue


@functions_framework.http
@endpoint("POST", read_scope="internal", write_scope="internal")
def bitrix_handler(request: Request) -> Response:
    """202 once Redis has all events; 422 for a message that can never be processed."""
    enqueue.enqueue_events(receive(request))
    return Response(status=202)
