"""Alerts and dashboard use existing metrics, and every alert has instructions."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
MONITORING = CHECKOUT / "deploy/monitoring"
DOCS = CHECKOUT / "docs"
#: Metrics of Prometheus itself.
OWN = {"up", "ALERTS"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.load((MONITORING / "alerts.yml").read_text(encoding="utf-8"), yaml.CSafeLoader)[
        "groups"
    ]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    text = (MONITORING / "grafana-dashboard.json").read_text(encoding="utf-8")
    return list(json.loads(text)["panels"])


def expressions() -> list[str]:
    """Every query of alerts and dashboard, with Grafana's own variables filled in."""
    queries = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    return [
        expression.replace("$__rate_interval", "1m")
        for expression in (*queries, *(rule["expr"] for rule in rules()))
    ]


def selectors(node: Any) -> Iterator[tuple[str, set[str]]]:
    """Each metric that a query selects, and the labels it names there."""
    if isinstance(node, promql_parser.VectorSelector):
        yield str(node.name), {matcher.name for matcher in node.matchers.matchers}
    for name in ("expr", "lhs", "rhs", "vector_selector", "args", "param"):
        part = getattr(node, name, None)
        for child in part if isinstance(part, list) else [part]:
            if child is not None:
                yield from selectors(child)


def documented_metrics() -> dict[str, set[str]]:
    """Each metric of docs/metrics.md and its labels, histograms by the names of their series."""
    found: dict[str, set[str]] = {}
    for line in (DOCS / "metrics.md").read_text(encoding="utf-8").splitlines():
        if not line.startswith("| `"):
            continue
        names, labels, meaning = line.split("|")[1:4]
        kinds = ("_bucket", "_sum", "_count") if "histogram" in meaning else ("",)
        for name in re.findall(r"`(\w+)`", names):
            for kind in kinds:
                found[name + kind] = {*re.findall(r"`(\w+)`", labels), "le", "job", "instance"}
    return found


@pytest.mark.parametrize("query", sorted(set(expressions())))
def test_a_query_uses_exported_metrics(query: str) -> None:
    selectors_used = list(selectors(promql_parser.parse(query)))
    assert selectors_used
    for name, labels in selectors_used:
        if name not in OWN:
            assert name in documented_metrics()
            assert labels <= documented_metrics()[name]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_leads_to_its_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert path.endswith("/docs/runbooks.md")
    assert anchor == rule["alert"].lower()
    text = (DOCS / "runbooks.md").read_text(encoding="utf-8")
    entry = text.partition(f"## {rule['alert']}\n")[2].partition("\n## ")[0]
    assert f"**Means** ({rule['labels']['severity']})" in entry
    assert all(f"**{part}**" in entry for part in ("See", "Do", "Stop worrying"))


def test_every_runbook_has_its_alert() -> None:
    text = (DOCS / "runbooks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(?m)^## (.+)$", text)) == {rule["alert"] for rule in rules()}


def test_links_within_the_runbooks_resolve() -> None:
    text = (DOCS / "runbooks.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((\w+\.md)(?:#([\w-]+))?\)", text)
    assert links
    for name, anchor in links:
        headings = re.findall(r"(?m)^#+ (.+)$", (DOCS / name).read_text(encoding="utf-8"))
        slugs = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in slugs, anchor


def test_panels_of_the_dashboard_neither_overlap_nor_share_an_id() -> None:
    cells = [
        (x, y)
        for panel in panels()
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24  # columns of Grafana's grid
    assert len({panel["id"] for panel in panels()}) == len(panels())
