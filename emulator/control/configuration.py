"""Settings, faults and reset."""

from aiohttp import web

from emulator.control.json_body import Unreadable, answer, problem, read_json
from emulator.faults import InvalidRule, parse
from emulator.requests.endpoint import PORTAL
from emulator.settings import InvalidSetting


async def settings(request: web.Request) -> web.Response:
    """GET: the settings in force."""
    return answer(request.app[PORTAL].settings.as_json())


async def change_settings(request: web.Request) -> web.Response:
    """PUT: change some; answers all; 422 changes nothing."""
    portal = request.app[PORTAL]
    try:
        changes = await read_json(request)
        if not isinstance(changes, dict):
            return problem(422, "settings must be an object")
        portal.configure(changes)
    except (Unreadable, InvalidSetting) as error:
        return problem(422, str(error))
    return answer(portal.settings.as_json())


async def faults(request: web.Request) -> web.Response:
    """GET: the rules in force, with how often each was seen and has bitten."""
    return answer([rule.as_json() for rule in request.app[PORTAL].faults.rules])


async def add_faults(request: web.Request) -> web.Response:
    """POST: add rules after the present ones; answers all; 422 adds none."""
    portal = request.app[PORTAL]
    try:
        portal.faults.rules.extend(parse(await read_json(request)))
    except (Unreadable, InvalidRule) as error:
        return problem(422, str(error))
    return await faults(request)


async def clear_faults(request: web.Request) -> web.Response:
    """DELETE: no rules."""
    request.app[PORTAL].faults.rules.clear()
    return answer([])


async def reset(request: web.Request) -> web.Response:
    """POST: as new: no leads, counts, faults; default settings; ids start again."""
    portal = request.app[PORTAL]
    await portal.reset()
    return answer(portal.settings.as_json())
