"""Settings, faults and reset."""

from aiohttp import web

from emulator.control.json_body import InvalidJson, json_response, problem, read_json
from emulator.faults import InvalidRule, parse
from emulator.requests.endpoint import PORTAL
from emulator.settings import InvalidSetting


async def settings(request: web.Request) -> web.Response:
    """GET: the current settings."""
    return json_response(request.app[PORTAL].settings.as_json())


async def change_settings(request: web.Request) -> web.Response:
    """PUT: change some settings; returns all of them. With a 422, none is changed."""
    portal = request.app[PORTAL]
    try:
        changes = await read_json(request)
        if not isinstance(changes, dict):
            return problem(422, "settings must be an object")
        portal.configure(changes)
    except (InvalidJson, InvalidSetting) as error:
        return problem(422, str(error))
    return json_response(portal.settings.as_json())


async def faults(request: web.Request) -> web.Response:
    """GET: the current rules, with how often each has matched and applied."""
    return json_response([rule.as_json() for rule in request.app[PORTAL].faults.rules])


async def add_faults(request: web.Request) -> web.Response:
    """POST: append rules; returns all of them. With a 422, none is added."""
    portal = request.app[PORTAL]
    try:
        portal.faults.rules.extend(parse(await read_json(request)))
    except (InvalidJson, InvalidRule) as error:
        return problem(422, str(error))
    return await faults(request)


async def clear_faults(request: web.Request) -> web.Response:
    """DELETE: remove all rules."""
    request.app[PORTAL].faults.rules.clear()
    return json_response([])


async def reset(request: web.Request) -> web.Response:
    """POST: restore the initial state: no leads, counts or faults, default settings, ids from 1."""
    portal = request.app[PORTAL]
    await portal.reset()
    return json_response(portal.settings.as_json())
