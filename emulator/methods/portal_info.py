"""Methods that describe the portal: stages, CRM mode, user, time, scopes."""

from typing import Any

from emulator.clock import iso
from emulator.http.params import Params
from emulator.leads.query import argument
from emulator.leads.stages import STAGES
from emulator.methods.result import MethodResult
from emulator.portal import Portal

_USER: dict[str, Any] = {
    "ID": "1",
    "ACTIVE": True,
    "NAME": "John",
    "LAST_NAME": "Doe",
    "EMAIL": "my@example.com",
    "IS_ONLINE": "Y",
    "UF_DEPARTMENT": [1],
}


def status_list(_: Portal, params: Params) -> MethodResult:
    """crm.status.list: the stages; the lists of other entities are empty here."""
    wanted = argument(params, "filter")
    rows = [stage.described() for stage in STAGES]
    for key, value in wanted.items() if isinstance(wanted, dict) else ():
        name = str(key).lstrip("=@")
        allowed = {str(each) for each in (value if isinstance(value, list) else [value])}
        rows = [row for row in rows if name not in row or str(row[name]) in allowed]
    return MethodResult(rows, total=len(rows))


def mode(portal: Portal, _: Params) -> MethodResult:
    """crm.settings.mode.get: 1 with leads, 2 without."""
    return MethodResult(2 if portal.settings.crm_mode == "simple" else 1)


def profile(_: Portal, __: Params) -> MethodResult:
    """The webhook's user: an administrator."""
    return MethodResult({"ID": "1", "ADMIN": True, "NAME": "John", "LAST_NAME": "Doe"})


def user_current(_: Portal, __: Params) -> MethodResult:
    """user.current: the same user with more details."""
    return MethodResult(_USER)


def server_time(portal: Portal, _: Params) -> MethodResult:
    """server.time: the portal's time of day."""
    return MethodResult(iso(portal.clock.wall()))


def scope(portal: Portal, _: Params) -> MethodResult:
    """The scopes of the webhook."""
    return MethodResult(list(portal.settings.scope))


def app_info(portal: Portal, _: Params) -> MethodResult:
    """app.info as a webhook sees it."""
    return MethodResult(
        {"SCOPE": list(portal.settings.scope), "LICENSE": "local", "INSTALLED": True}
    )


METHODS = {
    "crm.status.list": status_list,
    "crm.settings.mode.get": mode,
    "profile": profile,
    "user.current": user_current,
    "server.time": server_time,
    "scope": scope,
    "app.info": app_info,
}
