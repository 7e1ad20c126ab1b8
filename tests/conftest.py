"""Give tests a real server, and let no test be skipped where everything is installed.

A test skips with its reason where a program that it uses is missing. With
`TESTS_REQUIRE_ALL=1`, as on CI, such a skip is a failure.
"""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, cared_for, make_server

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


@pytest.fixture
def repository(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """A committed repository with the example versions; the test starts the server itself."""
    markers = {marker.name for marker in request.node.iter_markers()}
    is_light = "light" in markers and "native" not in markers
    with cared_for(make_server(tmp_path / "repository", is_light=is_light)) as server:
        yield server


@pytest.fixture
def server(repository: Server) -> Server:
    """A running server with two workers that serves v1."""
    repository.start()
    repository.wait_until_live("v1")
    return repository
