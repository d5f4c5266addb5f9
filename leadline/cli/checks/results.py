"""Checks of results for other systems: can each endpoint be reached, was any result given up?"""

from collections.abc import Iterator

from leadline.cli.checks.check import Check
from leadline.results import deliveries, endpoints


def results() -> Iterator[Check]:
    """A check of each endpoint."""
    if not endpoints.is_configured():
        return
    known = {delivery["endpoint"]: delivery for delivery in deliveries.status()}
    trouble = deliveries.trouble()
    for endpoint in endpoints.endpoints():
        unreachable = known.get(endpoint.name, {}).get("unreachable")
        found = trouble.get(endpoint.name, {"waiting": 0, "given_up": 0})
        result = f"{found['waiting']} results wait, {found['given_up']} given up within a day"
        if unreachable:
            result += f", unreachable: {unreachable}"
        fix = f"leadline results list; then leadline results replay {endpoint.name}"
        is_ok = not (unreachable or found["given_up"])
        yield Check(f"endpoint {endpoint.name}", is_ok, result, "" if is_ok else fix)
