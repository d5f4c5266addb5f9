"""The path of a REST call, /rest/{user}/{code}/{method}, parsed as leniently as the portal does."""

from emulator.errors import RestError
from emulator.http.webhooks import WEBHOOKS, Webhook
from emulator.portal import Portal


def parse_path(path: str, portal: Portal) -> tuple[Webhook, str]:
    """The webhook and the lower-case method; raises RestError if the path has none.

    `.json`, a trailing slash and the method in any case are accepted; `//` depends on a setting.
    """
    if "//" in path and portal.settings.double_slash == "not_found":
        raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", 404)
    steps = [step for step in path.split("/") if step][1:]
    webhook = WEBHOOKS.get(steps[1]) if len(steps) > 1 else None
    if webhook is None or steps[0] != str(webhook.user):
        raise RestError("NO_AUTH_FOUND", "Wrong authorization data", 401)
    method = "/".join(steps[2:]).lower()
    return webhook, method.removesuffix(".json").removesuffix(".xml")
