import contextlib
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.domain import ModelVersion
from modeld.errors import InvalidParameter, InvalidVersionName, ModeldError, NotReady
from modeld.serving.router import Target, find, parse_target
from modeld.serving.snapshot import EMPTY, Release, Snapshot


def release(name: str) -> Release:
    """Something to tell apart: a router looks at no release."""
    return cast("Release", name)


V1, V2, CHURN = (
    ModelVersion("default", "v1"),
    ModelVersion("default", "v2"),
    ModelVersion("churn", "v1"),
)
SNAPSHOT = Snapshot(
    7,
    {"default": release("v1"), "churn": release("churn@v1")},
    {V1: release("v1"), V2: release("v2"), CHURN: release("churn@v1")},
)


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ("", Target()),
        ("version=v2", Target(version="v2")),
        ("model=churn", Target("churn")),
        ("model=churn&version=v3&proba=true", Target("churn", "v3", True)),
        ("proba=1", Target(wants_probabilities=True)),
        ("proba=false", Target()),
        ("proba=0", Target()),
        ("version=1.10", Target(version="1.10")),
        ("version=v%32", Target(version="v2")),
        ("&version=v2&", Target(version="v2")),
        ("model=default", Target()),
    ],
)
def test_a_query_says_what_is_asked_for(query: str, target: Target) -> None:
    assert parse_target(query) == target


@pytest.mark.parametrize(
    ("query", "error", "says"),
    [
        ("versoin=v2", InvalidParameter, "did you mean version"),
        ("x=1", InvalidParameter, "'x'"),
        ("=v2", InvalidParameter, "unknown parameter"),
        ("Version=v2", InvalidParameter, "did you mean version"),
        ("version=v1&version=v2", InvalidParameter, "version is given twice"),
        ("proba=yes", InvalidParameter, "true or false"),
        ("proba", InvalidParameter, "true or false"),
        ("proba=TRUE", InvalidParameter, "true or false"),
        ("version=", InvalidVersionName, "''"),
        ("version", InvalidVersionName, "''"),
        ("version=latest", InvalidVersionName, "latest"),
        ("version=active", InvalidVersionName, "active"),
        ("version=../v1", InvalidVersionName, "no version name"),
        ("version=..%2Fv1", InvalidVersionName, "no version name"),
        ("version=v1%0A", InvalidVersionName, r"v1\\n"),
        ("version=v1%00", InvalidVersionName, r"v1\\x00"),
        ("version=v+1", InvalidVersionName, "v 1"),
        ("version=" + "v" * 65, InvalidVersionName, "no version name"),
        ("version=%D0%B0", InvalidVersionName, "no version name"),
        ("version=%FF", InvalidVersionName, "no version name"),
        ("model=", InvalidVersionName, "no model name"),
        ("model=a/b", InvalidVersionName, "no model name"),
    ],
)
def test_what_a_query_must_not_hold(query: str, error: type[ModeldError], says: str) -> None:
    with pytest.raises(error, match=says):
        parse_target(query)


@given(st.text(max_size=30))
def test_every_query_is_a_target_or_a_mistake_of_the_caller(query: str) -> None:
    with contextlib.suppress(InvalidParameter, InvalidVersionName):
        assert parse_target(query).model


def test_a_refusal_quotes_little() -> None:
    with pytest.raises(InvalidVersionName) as caught:
        parse_target("version=" + "v" * 5000)

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("target", "found"),
    [
        (Target(), "v1"),
        (Target(version="v1"), "v1"),
        (Target(version="v2"), "v2"),
        (Target("churn"), "churn@v1"),
        (Target("churn", "v1"), "churn@v1"),
        (Target(version="v3"), None),
        (Target("churn", "v2"), None),
        (Target("fraud"), None),
        (Target("fraud", "v1"), None),
    ],
)
def test_a_target_is_looked_up_in_the_snapshot(target: Target, found: str | None) -> None:
    assert find(SNAPSHOT, target) == (release(found) if found else None)


def test_before_anything_is_live_the_default_model_is_not_ready() -> None:
    with pytest.raises(NotReady, match="/admin/status"):
        find(EMPTY, Target())


@pytest.mark.parametrize("target", [Target(version="v1"), Target("churn")])
def test_before_anything_is_live_others_are_looked_for_elsewhere(target: Target) -> None:
    assert find(EMPTY, target) is None
