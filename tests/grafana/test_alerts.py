"""The rules and the scrape configuration, checked by Prometheus's own tool."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.server import ROOT

ALERTS = ROOT / "grafana" / "alerts.yml"
CASES = Path(__file__).with_name("alerts.test.yml")

pytestmark = pytest.mark.skipif(not shutil.which("promtool"), reason="prometheus is not installed")


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_scrape_configuration_is_valid() -> None:
    promtool("check", "config", "prometheus.yml")


def test_the_rules_are_valid() -> None:
    promtool("check", "rules", str(ALERTS))


def test_the_rules_fire_when_they_should_and_only_then() -> None:
    promtool("test", "rules", str(CASES))


def test_every_rule_has_a_case_and_says_what_to_do() -> None:
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    cases = CASES.read_text()

    for rule in rules:
        assert f"alertname: {rule['alert']}\n" in cases
        assert rule["annotations"]["action"]
        assert rule["labels"]["severity"] in ("page", "ticket")
