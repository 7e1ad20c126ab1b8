"""Let no test be skipped where everything is installed.

A test skips with its reason where a program that it uses is missing. With
`TESTS_REQUIRE_ALL=1`, as on CI, such a skip is a failure.
"""

import os
from collections.abc import Generator

import pytest

REQUIRES_ALL = os.environ.get("TESTS_REQUIRE_ALL") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not hasattr(report, "wasxfail"):
        _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_if_skipped(report)
    return report


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if REQUIRES_ALL and report.skipped:
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"TESTS_REQUIRE_ALL=1 allows no skip: {reason}"
