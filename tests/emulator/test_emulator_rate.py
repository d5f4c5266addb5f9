"""The request limit and the portal's modes."""

from dataclasses import replace

import pytest
import requests
from requests.adapters import HTTPAdapter

from emulator.limits.bucket import Buckets, Rate
from emulator.settings import Settings
from tests.emulator.emulator_process import Emulator

STANDARD = Rate(per_s=2, burst=50)
REFUSED = b'{"error":"QUERY_LIMIT_EXCEEDED","error_description":"Too many requests"}'


def admissions(moments: list[float], rate: Rate = STANDARD, **switches: object) -> list[bool]:
    """Whether each request of one address to one portal is admitted, at these seconds."""
    settings = replace(Settings(), **switches)  # type: ignore[arg-type]
    buckets = Buckets()
    return [buckets.admit(("::1", "portal"), rate, moment, settings) for moment in moments]


def test_fifty_pass_at_once_and_the_next_is_refused() -> None:
    assert admissions([0.0] * 52) == [True] * 50 + [False] * 2


def test_two_requests_per_second_always_pass() -> None:
    assert all(admissions([0.0] * 50 + [0.5 + number / 2 for number in range(1000)]))


def test_the_bucket_drains_continuously_or_in_steps() -> None:
    """The documentation says `once per second`, and leaves open what that means."""
    moments = [0.0] * 50 + [0.5, 0.5, 1.0]
    assert admissions(moments)[50:] == [True, False, True]
    assert admissions(moments, drain="stepped")[50:] == [False, False, True]


def test_refused_requests_may_count_too() -> None:
    moments = [0.0] * 52 + [1.0]
    assert admissions(moments)[-1] is True
    assert admissions(moments, refused_counts=True)[-1] is False


def test_without_a_rate_there_is_no_limit() -> None:
    assert all(admissions([0.0] * 500, Rate(per_s=0, burst=50)))
    assert all(admissions([0.0] * 500, Rate(per_s=None, burst=50)))


def test_a_refusal_has_the_documented_body_and_no_side_effect(emulator: Emulator) -> None:
    emulator.set(rate_per_s=0.001, burst=1)
    emulator.add()
    response = emulator.post("crm.lead.add")
    assert (response.status_code, response.content) == (503, REFUSED)
    assert "Retry-After" not in response.headers
    assert len(emulator.leads()) == 1
    calls = emulator.calls()
    assert (calls["requests"], calls["refused"], calls["commands"]) == (2, 1, 1)


def test_each_portal_has_its_own_limit(emulator: Emulator) -> None:
    """The Enterprise portal takes 250 at once."""
    url = emulator.base + "/rest/1/enterprise-webhook-code/profile"
    statuses = [emulator.session.get(url, timeout=60).status_code for _ in range(251)]
    assert statuses[:250] == [200] * 250
    emulator.set(enterprise_burst=1)
    assert emulator.session.get(url, timeout=60).status_code == 503
    assert emulator.post("profile").status_code == 200


def test_webhooks_of_one_portal_share_its_limit(emulator: Emulator) -> None:
    """Counted per portal and source address, not per webhook."""
    emulator.set(rate_per_s=0.001, burst=1)
    assert emulator.post("profile").status_code == 200
    other = emulator.base + "/rest/1/second-webhook-code/profile"
    assert emulator.session.get(other, timeout=60).status_code == 503


class FromAddress(HTTPAdapter):
    """Sends from another address of this machine."""

    def init_poolmanager(self, *args: object, **kwargs: object) -> None:
        super().init_poolmanager(*args, **kwargs, source_address=("127.0.0.2", 0))  # type: ignore[arg-type]


def test_each_source_address_has_its_own_bucket(emulator: Emulator) -> None:
    emulator.set(rate_per_s=0.001, burst=1)
    emulator.post("profile")
    assert emulator.post("profile").status_code == 503
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", FromAddress())
        assert session.get(emulator.webhook + "profile", timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("mode", "status", "code"),
    [
        ("revoked", 401, "NO_AUTH_FOUND"),
        ("plan_expired", 403, "ACCESS_DENIED"),
        ("deleted", 500, "PORTAL_DELETED"),
        ("overload", 503, "OVERLOAD_LIMIT"),
    ],
)
def test_a_closed_mode_of_the_portal_applies_to_all_methods(
    emulator: Emulator, mode: str, status: int, code: str
) -> None:
    emulator.set(mode=mode)
    for method in ("crm.lead.add", "profile", "batch"):
        response = emulator.post(method)
        assert (response.status_code, response.json()["error"]) == (status, code)
    assert emulator.calls()["requests"] == 3
    emulator.set(mode="ok")
    assert emulator.leads() == []
    assert emulator.add() == 1


def test_a_deleted_portal_may_answer_410(emulator: Emulator) -> None:
    emulator.set(mode="deleted", deleted_status=410)
    assert emulator.post("profile").status_code == 410


def test_a_higher_speed_drains_the_bucket_faster(emulator: Emulator) -> None:
    """At 10,000 times the speed an emulated second lasts a tenth of a millisecond."""
    emulator.set(burst=1, speed=10_000)
    assert all(emulator.post("profile").status_code == 200 for _ in range(20))
