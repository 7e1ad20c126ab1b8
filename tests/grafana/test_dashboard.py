"""The dashboard, asked of a real Prometheus that scrapes a real server with a switch under load."""

import json
import re
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pytest
import yaml

from tests.support.load import loaded
from tests.support.prometheus import Prometheus, prometheus
from tests.support.server import ROOT, Server, cared_for, eventually, make_server

DASHBOARD: dict[str, Any] = json.loads((ROOT / "grafana" / "dashboard.json").read_text())
RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "grafana" / "alerts.yml").read_text())[
    "groups"
][0]["rules"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
    for panel in PANELS
    for target in panel["targets"]
]
ANNOTATION = DASHBOARD["annotations"]["list"][0]["expr"]
VARIABLES = ("job", "instance", "model", "version")
COMPARISON = re.compile(r"\s*[<>]=?\s*[0-9.]+\s*$")
BEFORE_AND_AFTER = 6.0

needs_prometheus = pytest.mark.skipif(
    not shutil.which("prometheus"), reason="prometheus is not installed"
)


@dataclass(frozen=True)
class Scraped:
    """What was scraped while v1 gave way to v2."""

    prometheus: Prometheus
    start: float
    switched: float
    end: float


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    folder = tmp_path_factory.mktemp("scraped")
    with cared_for(make_server(folder / "repository")) as server:
        server.start().wait_until_live("v1")
        with prometheus(folder / "prometheus", free_port(), server.port) as found:
            start = time.time()
            with loaded(server.port, connections=2):
                spend(server, start)
                server.write_state("active: v2\n")
                server.wait_until_live("v2")
                switched = time.time()
                spend(server, switched)
            yield Scraped(found, start, switched, time.time())


def spend(server: Server, since: float) -> None:
    """Send a wrong request now and then, until enough was scraped."""

    def is_over() -> bool:
        server.predict({"features": []})
        return time.time() - since > BEFORE_AND_AFTER

    eventually(is_over, "some scrapes")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def with_values(expression: str) -> str:
    """Put in what Grafana does for all of every variable, over a short time."""
    for name in VARIABLES:
        expression = expression.replace(f"${name}", ".*")
    return expression.replace("$__rate_interval", "5s").replace("$__interval", "1s")


@needs_prometheus
@pytest.mark.parametrize("expression", [*EXPRESSIONS, pytest.param(ANNOTATION, id="Deployments")])
def test_every_panel_shows_data(scraped: Scraped, expression: str) -> None:
    assert scraped.prometheus.range(with_values(expression), scraped.start, scraped.end)


@needs_prometheus
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_rule_looks_at_data(scraped: Scraped, rule: dict[str, Any]) -> None:
    expression = re.sub(r"\[\d+[mh]\]", "[5s]", rule["expr"])
    looked_at, count = COMPARISON.subn("", expression)

    assert count == 1
    assert scraped.prometheus.range(looked_at, scraped.start, scraped.end)


@needs_prometheus
def test_no_rule_fires_on_a_healthy_server(scraped: Scraped) -> None:
    assert scraped.prometheus.query('ALERTS{alertstate="firing"}') == []


@needs_prometheus
def test_the_live_version_changes_at_the_switch(scraped: Scraped) -> None:
    panel = next(panel for panel in PANELS if panel["title"] == "Live version")
    expression = with_values(panel["targets"][0]["expr"])

    found = scraped.prometheus.range(expression, scraped.start, scraped.end)

    series = {each["metric"]["version"]: each["values"] for each in found}
    assert [value for _, value in series["v1"]][-1] == "0"
    assert next(value for _, value in series["v1"]) == "1"
    began = next(at for at, value in series["v2"] if value == "1")
    assert abs(began - scraped.switched) < 3


@needs_prometheus
def test_a_deployment_is_marked_when_it_was_applied(scraped: Scraped) -> None:
    found = scraped.prometheus.query(with_values(ANNOTATION))

    (only,) = found
    assert only["metric"]["version"] == "v2"
    assert abs(float(only["value"][1]) / 1000 - scraped.switched) < 3


# The file itself


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_panel_can_be_narrowed_to_a_job_and_an_instance(expression: str) -> None:
    selectors = re.findall(r"\{([^}]*)\}", expression)

    assert selectors
    for selector in selectors:
        assert 'job=~"$job"' in selector
        assert 'instance=~"$instance"' in selector
        for name in re.findall(r"\$(\w+)", selector):
            assert f'{name}=~"${name}"' in selector


def test_every_variable_can_stand_for_all() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}

    for name in VARIABLES:
        assert variables[name]["allValue"] == ".*"
        assert variables[name]["includeAll"]


def test_every_panel_says_what_it_shows_and_has_a_place_of_its_own() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
    for one, other in combinations(DASHBOARD["panels"], 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


def test_grafana_finds_its_data_source_and_its_dashboard() -> None:
    folder = ROOT / "grafana" / "provisioning"
    source = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())
    provider = yaml.safe_load((folder / "dashboards" / "modeld.yml").read_text())

    assert source["datasources"][0]["type"] == "prometheus"
    assert provider["providers"][0]["options"]["path"] == "/etc/grafana/dashboards"
