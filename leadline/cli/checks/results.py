"""Checks of results for other systems: can each endpoint be reached, was any result given up?"""

from collections.abc import Iterator

from leadline.cli.checks.check import Check
from leadline.results import deliveries, endpoints


def results() -> Iterator[Check]:
    """A check of each endpoint."""
    if not endpoints.is_configured():
        return
    statuses = {status["endpoint"]: status for status in deliveries.status()}
    undelivered = deliveries.undelivered()
    for endpoint in endpoints.endpoints():
        unreachable = statuses.get(endpoint.name, {}).get("unreachable")
        counts = undelivered.get(endpoint.name, {"waiting": 0, "given_up": 0})
        result = f"{counts['waiting']} results wait, {counts['given_up']} given up within a day"
        if unreachable:
            result += f", unreachable: {unreachable}"
        fix = f"leadline results list; then leadline results replay {endpoint.name}"
        is_ok = not (unreachable or counts["given_up"])
        yield Check(f"endpoint {endpoint.name}", is_ok, result, "" if is_ok else fix)
