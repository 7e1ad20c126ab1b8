"""What is worked out from how long changes took."""

import json

import pytest

from benchmarks.switches import Waits, raw, table, times


@pytest.mark.parametrize(("slowest", "verdict"), [(50.0, "50 ms: met"), (50.1, "50 ms: missed")])
def test_the_goal_bounds_the_slow_changes(slowest: float, verdict: str) -> None:
    row = table([Waits("POST", 50, (10.0,) * 49 + (slowest,))]).splitlines()[-1]

    assert row == f"| POST | 50 | 10 | 50 | 50 | {verdict} |"


def test_what_has_no_goal_is_only_reported() -> None:
    assert table([Waits("cold", None, (800.0,))]).endswith(
        "| cold | 1 | 800 | 800 | 800 | none |\n"
    )


def test_every_wait_is_in_the_raw_results() -> None:
    content = json.loads(raw([Waits("POST", 50, (1.0, 2.0))], 0.5))

    waits = {"name": "POST", "goal_ms": 50, "waits_ms": [1.0, 2.0]}
    assert content == {"load_before": 0.5, "waits": [waits]}


def test_each_version_is_switched_to_in_turn() -> None:
    switched: list[str] = []

    waits = times(switched.append, ["v2", "v1"])

    assert switched == ["v2", "v1"]
    assert len(waits) == 2
