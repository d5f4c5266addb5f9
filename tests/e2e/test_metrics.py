"""`/metrics` of every process of a running system, and their documentation."""

import re
from collections.abc import Mapping
from functools import partial

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.servers import eventually
from tests.system import CHECKOUT, System

FROM_OUTSIDE = ("/metrics", "/function/create-user/metrics", "/function/outbox-relay/metrics")


def addresses(system: System) -> dict[str, str]:
    """Every process with metrics, once all of them answer."""
    ports = system.state.ports()
    others = [name for name in system.run["processes"] if name.startswith(("worker", "connector"))]
    found = {
        **system.run["functions"],
        **{name: f"http://127.0.0.1:{ports[name]}" for name in others},
    }
    eventually(lambda: all(map(answers, found.values())), 120, "every process answers")
    return found


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/_/health", timeout=60).ok
    except requests.ConnectionError:
        return False


def scrape(url: str) -> str:
    answer = requests.get(f"{url}/metrics", timeout=60)
    assert answer.status_code == 200
    return answer.text


def value(url: str, name: str, **labels: str) -> float:
    """The sum over all series with this name and these labels."""
    families = text_string_to_metric_families(scrape(url))
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def documented_metrics() -> dict[str, set[str]]:
    """The names in the first column of the tables, with the labels in the second."""
    text = (CHECKOUT / "docs/metrics.md").read_text(encoding="utf-8")
    columns = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]
    return {
        name: set(re.findall(r"`(\w+)`", labels))
        for names, labels in columns
        for name in re.findall(r"`(\w+)`", names)
    }


def test_the_list_of_metrics_matches_a_running_system(system: System) -> None:
    system.await_synced(system.create()["id"])
    listed = documented_metrics()
    exported: set[str] = set()
    labels: dict[str, set[str]] = {}
    for url in addresses(system).values():
        text = scrape(url)
        exported |= {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = re.sub("_(bucket|sum|count)$", "", sample.name)
                labels.setdefault(name, set()).update(sample.labels.keys() - {"le"})
    assert exported == listed.keys()
    assert labels == {name: listed[name] for name in labels}


def test_the_edge_does_not_expose_metrics(system: System) -> None:
    """A process refuses them to a request with the edge's X-Forwarded-For: none can remove it."""
    for path in FROM_OUTSIDE:
        for headers in ({}, {"X-Forwarded-For": ""}, {"Connection": "X-Forwarded-For"}):
            answer = system.request("GET", path, headers=headers)
            assert "process_start_time_seconds" not in answer.text, path


def test_a_write_is_counted_at_each_of_its_steps(system: System) -> None:
    steps = [
        ("create-user", "leadline_http_requests_total", {"route": "/users", "status": "201"}),
        ("create-user", "leadline_writes_accepted_total", {"action": "create_card"}),
        ("create-user", "leadline_messages_published_total", {"result": "confirmed"}),
        ("connector", "leadline_deliveries_total", {"queue": "bitrix_queue", "verdict": "served"}),
        ("bitrix-handler", "leadline_events_received_total", {"action": "create_card"}),
        ("reply-handler", "leadline_events_settled_total", {"state": "synced"}),
        ("reply-handler", "leadline_time_to_lead_seconds_count", {"action": "create_card"}),
    ]
    eventually(system.is_well, 120, "every part works")
    urls = addresses(system)
    before = [value(urls[process], name, **labels) for process, name, labels in steps]
    calls = _calls(urls)
    user = system.create()
    system.await_synced(user["id"])
    # A process may count its step after the next process has taken its own.
    for (process, name, labels), before_step in zip(steps, before, strict=True):
        is_counted = partial(_exceeds, before_step, urls[process], name, labels)
        eventually(is_counted, 120, f"{process} counts {name}")
    eventually(lambda: _calls(urls) > calls, 120, "the call is counted")


def _exceeds(before: float, url: str, name: str, labels: Mapping[str, str]) -> bool:
    return value(url, name, **labels) > before


def test_the_relay_exports_the_state_of_the_whole_system(system: System) -> None:
    eventually(system.is_well, 120, "every part works")
    url = addresses(system)["outbox-relay"]
    lines = {
        *(
            f'leadline_server_reachable{{server="{server}"}} 1.0'
            for server in ("postgres", "redis")
        ),
        'leadline_queue_consumers{queue="bitrix_queue"} 1.0',
        'leadline_portal_paused{by="portal"} 0.0',
    }
    eventually(lambda: lines <= set(scrape(url).splitlines()), 120, "a tick has measured all")


def _calls(urls: Mapping[str, str]) -> float:
    workers = [url for name, url in urls.items() if name.startswith("worker")]
    return sum(value(url, "leadline_bitrix24_requests_total", answer="ok") for url in workers)
