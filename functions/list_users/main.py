"""GET /users: a keyset page of users, by id; GET /stages: the stages that they can have."""

import functions_framework
from flask import Request

from leadline.api import stage_list
from leadline.api.paths import match_stages, require_collection
from leadline.runtime.concurrency.greenlets import cooperative
from leadline.runtime.http.endpoint import RawResponse, endpoint, json_response, parse_query
from leadline.users import queries


@functions_framework.http
@cooperative
@endpoint("GET", "HEAD")
def list_users(request: Request) -> RawResponse:
    """200 with `items` and `next`: the key of the next page, or null after the last."""
    if match_stages(request):
        return stage_list.response(request)
    require_collection(request)
    query = parse_query(queries.Query, request)
    return json_response(queries.page(query))
