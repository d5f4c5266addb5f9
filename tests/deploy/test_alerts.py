"""Each alert in Prometheus' own tool: it fires when it should, with its text, and only then."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.deploy.test_monitoring import MONITORING, rules

#: promtool's series, a minute apart: `0+6x20` is 0, 6, 12, … 120, and `1x20` is 1 throughout.
#: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/
Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    """A situation in which an alert fires, and similar ones in which it does not."""

    alert: str
    series: Series
    #: When it fires, in minutes after the first sample.
    minute: int
    #: Its summary, and the labels that the series add to the rule's own.
    says: str
    labels: dict[str, str] = field(default_factory=dict)
    #: Series with which it does not fire at that time.
    quiet: tuple[Series, ...] = ()


PAUSED = {'leadline_portal_paused{by="portal"}': "1x60"}
UNREACHABLE = 'leadline_portal_unreachable{why="%s"}'
SETTLED = 'leadline_events_settled_total{state="%s"}'
HTTP = 'leadline_http_requests_total{function="create-user",status="%d"}'
SLOW = 'leadline_http_request_duration_seconds_bucket{function="%s",le="%s"}'
LATE = 'leadline_time_to_lead_seconds_bucket{le="%s"}'
CALLS = 'leadline_bitrix24_requests_total{answer="%s"}'
OLD = {"leadline_oldest_open_event_age_seconds": "700x60", SETTLED % "synced": "100x60"}
LATE_LEADS = {LATE % "60": "0x60", LATE % "300": "0+10x60", LATE % "+Inf": "0+10x60"}
LIMIT = {"leadline_bitrix24_operating_limit_seconds": "480x60"}

CASES = (
    Case(
        "LeadlineServerUnreachable",
        {'leadline_server_reachable{server="redis"}': "0x9"},
        minute=2,
        says="redis can't be reached",
        labels={"server": "redis"},
        quiet=({'leadline_server_reachable{server="redis"}': "1x9"},),
    ),
    Case(
        "LeadlineStateUnknown",
        {"up": "1x9"},
        minute=6,
        says="outbox-relay does not report the system's state",
        quiet=({'leadline_server_reachable{server="redis"}': "0x9"},),
    ),
    Case(
        "LeadlinePortalPaused",
        PAUSED,
        minute=3,
        says="Bitrix24 rejects all calls, they are paused",
        quiet=({'leadline_portal_paused{by="operator"}': "1x9"},),
    ),
    Case(
        "LeadlinePortalUnreachable",
        {UNREACHABLE % "no connection": "1x9", UNREACHABLE % "no answer": "0x9"},
        minute=3,
        says="no request to Bitrix24 gets an answer: no connection",
        labels={"why": "no connection"},
        quiet=({UNREACHABLE % "no answer": "1 0 1 0 1 0 1 0 1 0"}, PAUSED),
    ),
    Case(
        "LeadlineHeld",
        {'leadline_portal_paused{by="operator"}': "1x90"},
        minute=61,
        says="an operator has paused the calls to Bitrix24",
        quiet=({'leadline_portal_paused{by="operator"}': "1x50 0x40"}, PAUSED),
    ),
    Case(
        "LeadlineNoWorker",
        {"leadline_worker_silence_seconds": "45x9"},
        minute=2,
        says="no worker has been seen for 45s",
        quiet=({"leadline_worker_silence_seconds": "20x9"},),
    ),
    Case(
        "LeadlineNoConsumer",
        {'leadline_queue_consumers{queue="bitrix_queue"}': "0x9"},
        minute=3,
        says="no consumer for bitrix_queue",
        labels={"queue": "bitrix_queue"},
        quiet=({'leadline_queue_consumers{queue="bitrix_queue"}': "1x9"},),
    ),
    Case(
        "LeadlineRelayLate",
        {"leadline_relay_overdue_seconds": "90x9"},
        minute=3,
        says="the relay has had unpublished events for 1m 30s",
        quiet=({"leadline_relay_overdue_seconds": "30x9"},),
    ),
    Case(
        "LeadlineNoProgress",
        OLD,
        minute=20,
        says="no reply for ten minutes, and the oldest write waits for 11m 40s",
        quiet=(OLD | PAUSED, OLD | {SETTLED % "synced": "100+1x60"}),
    ),
    Case(
        "LeadlineErrors",
        {HTTP % 503: "0+6x30", HTTP % 201: "0+54x30"},
        minute=15,
        says="10% of the requests to create-user fail",
        labels={"function": "create-user"},
        quiet=(
            {HTTP % 503: "0+6x30", HTTP % 201: "0+594x30"},
            {HTTP % 503: "0+1x30", HTTP % 201: "0+1x30"},
            {HTTP % 422: "0+6x30", HTTP % 201: "0+54x30"},
        ),
    ),
    Case(
        "LeadlineSlow",
        {
            SLOW % ("create-user", "0.5"): "0x30",
            SLOW % ("create-user", "1"): "0+60x30",
            SLOW % ("create-user", "+Inf"): "0+60x30",
        },
        minute=20,
        says="one of 20 requests to create-user takes longer than 975ms",
        labels={"function": "create-user"},
        quiet=(
            {SLOW % ("create-user", "0.1"): "0+60x30", SLOW % ("create-user", "+Inf"): "0+60x30"},
            {SLOW % ("outbox-relay", "30"): "0+1x30", SLOW % ("outbox-relay", "+Inf"): "0+1x30"},
        ),
    ),
    Case(
        "LeadlineLate",
        LATE_LEADS,
        minute=35,
        says="one of 20 writes takes longer than 4m 48s to its lead",
        quiet=(LATE_LEADS | PAUSED, {LATE % "60": "0+9x60", LATE % "+Inf": "0+9x60"}),
    ),
    Case(
        "LeadlineRestarts",
        {'process_start_time_seconds{job="leadline-worker",instance="a:1"}': "1+1x4"},
        minute=4,
        says="leadline-worker a:1 has started 4 times in half an hour",
        labels={"job": "leadline-worker", "instance": "a:1"},
        quiet=(
            {'process_start_time_seconds{job="leadline-worker",instance="a:1"}': "1+1x3 4x9"},
            {'process_start_time_seconds{job="other",instance="a:1"}': "1+1x9"},
        ),
    ),
    Case(
        "LeadlineCallersRefused",
        {'leadline_callers_refused_total{reason="unknown_key"}': "0+10x30"},
        minute=15,
        says="100 requests in ten minutes had no key with the required scope: unknown_key",
        labels={"reason": "unknown_key"},
        quiet=(
            {'leadline_callers_refused_total{reason="unknown_key"}': "0+4x30"},
            {'leadline_callers_refused_total{reason="unknown_key"}': "5000x30"},
        ),
    ),
    Case(
        "LeadlineRefused",
        {'leadline_bitrix24_refusals_total{limit="rate"}': "0 0 1x9"},
        minute=5,
        says="Bitrix24 refused for its rate limit, which Leadline should keep",
        labels={"limit": "rate"},
        quiet=({'leadline_bitrix24_refusals_total{limit="rate"}': "0x9"},),
    ),
    Case(
        "LeadlineOperatingLimit",
        LIMIT | {'leadline_bitrix24_operating_seconds{method="crm.lead.add"}': "470x60"},
        minute=31,
        says="crm.lead.add has used up its execution time for half an hour",
        labels={"method": "crm.lead.add"},
        quiet=(LIMIT | {'leadline_bitrix24_operating_seconds{method="crm.lead.add"}': "440x60"},),
    ),
    Case(
        "LeadlineCallsFail",
        {CALLS % "ok": "0+8x30", CALLS % "timeout": "0+2x30"},
        minute=25,
        says="20% of the requests to Bitrix24 fail",
        quiet=({CALLS % "ok": "0+19x30", CALLS % "timeout": "0+1x30"},),
    ),
    Case(
        "LeadlineLeadsDoubled",
        {"leadline_leads_doubled_total": "0 0 1x9"},
        minute=5,
        says="users with more than one lead of ours",
        quiet=({"leadline_leads_doubled_total": "1x9"},),
    ),
    Case(
        "LeadlineFieldMap",
        {"leadline_field_misfits": "2x15", "leadline_field_map_defect": "0x15"},
        minute=11,
        says="the portal does not take a field of the map, or the map has a mistake",
        quiet=({"leadline_field_misfits": "0x15", "leadline_field_map_defect": "0x15"},),
    ),
    Case(
        "LeadlineUsersFail",
        {SETTLED % "failed": "0+1x30", SETTLED % "synced": "0+9x30"},
        minute=30,
        says="30 writes failed in half an hour",
        quiet=(
            {SETTLED % "failed": "0+1x30", SETTLED % "synced": "0+99x30"},
            {SETTLED % "failed": "0 1x30", SETTLED % "synced": "0 1x30"},
        ),
    ),
    Case(
        "LeadlineDeadLetters",
        {'leadline_queue_messages{queue="bitrix_queue.dead"}': "2x9"},
        minute=6,
        says="2 messages in bitrix_queue.dead",
        labels={"queue": "bitrix_queue.dead"},
        quiet=({'leadline_queue_messages{queue="bitrix_queue"}': "2x9"},),
    ),
    Case(
        "LeadlineResultsLate",
        {'leadline_results_oldest_age_seconds{endpoint="crm-form"}': "3660+60x20"},
        minute=6,
        says="results for crm-form have waited for 1h 7m 0s",
        labels={"endpoint": "crm-form"},
        quiet=({'leadline_results_oldest_age_seconds{endpoint="crm-form"}': "3000x20"},),
    ),
    Case(
        "LeadlineResultsGivenUp",
        {'leadline_results{endpoint="crm-form",state="given_up"}': "3x9"},
        minute=6,
        says="3 results for crm-form were given up",
        labels={"endpoint": "crm-form"},
        quiet=({'leadline_results{endpoint="crm-form",state="waiting"}': "3x9"},),
    ),
    Case(
        "LeadlineNotPublished",
        {'leadline_messages_published_total{result="failed"}': "0+60x30"},
        minute=15,
        says="RabbitMQ does not confirm published messages",
        quiet=({'leadline_messages_published_total{result="confirmed"}': "0+60x30"},),
    ),
    Case(
        "LeadlineLeasesExpire",
        {"leadline_leases_expired_total": "0+10x40"},
        minute=35,
        says="workers are lost during calls",
        quiet=({"leadline_leases_expired_total": "0+1x40"},),
    ),
    Case(
        "LeadlineHistoryForked",
        {
            "leadline_histories_begun_total": "0x4 1x20",
            'leadline_sweep_ids_left{instance="relay-1"}': "0x4 1200000x20",
        },
        minute=10,
        says=(
            "Postgres failed over or was restored: 1200000 user ids are still to be compared with"
            " their leads"
        ),
        quiet=({"leadline_histories_begun_total": "1x40"},),
    ),
)


def expected_alert(case: Case) -> dict[str, object]:
    (rule,) = [rule for rule in rules() if rule["alert"] == case.alert]
    return {
        "exp_labels": {**rule["labels"], **case.labels},
        "exp_annotations": {**rule["annotations"], "summary": case.says},
    }


def promtool_test(case: Case, series: Series, alerts: list[dict[str, object]]) -> dict[str, object]:
    """A test in promtool's format."""
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {"eval_time": f"{case.minute}m", "alertname": case.alert, "exp_alerts": alerts}
        ],
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_when_it_should_and_only_then(case: Case, tmp_path: Path) -> None:
    tests = [promtool_test(case, case.series, [expected_alert(case)])]
    tests += [promtool_test(case, series, []) for series in case.quiet]
    file = tmp_path / "alerts_test.yml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(MONITORING / "alerts.yml")], "tests": tests}),
        encoding="utf-8",
    )
    command = ("promtool", "test", "rules", str(file))
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_every_alert_is_tried() -> None:
    assert sorted(case.alert for case in CASES) == sorted(rule["alert"] for rule in rules())
