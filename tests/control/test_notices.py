"""What somebody has to be told, and when."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from modeld.control.history import ROLLBACK
from modeld.control.ledger import Entry
from modeld.control.notices import Notice, fresh, rollbacks, standing
from modeld.control.progress import Progress, Refusal
from modeld.desired.document import parse
from modeld.errors import (
    HostDied,
    Invalid,
    ModeldError,
    PublishFailed,
    SamplesDiffer,
    StateMissing,
    VersionHeld,
    VersionNotFound,
)

NOW = 10_000.0
LIVE = {"default": "v1"}


def progress(
    error: ModeldError | None = None,
    *,
    retries: bool = False,
    waited: float = 1.0,
    fallback: str = "",
    **more: object,
) -> Progress:
    refusal = error and Refusal("b1", 3, error, NOW, NOW + 1 if retries else None)
    known: dict[str, Any] = {
        "refusal": refusal,
        "condition": None,
        "generation": 3,
        "observed_at": NOW - waited,
        "applied": SimpleNamespace(fallback=fallback),
        "desired": parse(b"active: v2\n"),
    }
    return cast("Progress", SimpleNamespace(**known | more))


def events(known: Progress, *, is_starting: bool = False) -> list[str]:
    return [each.event for each in standing(known, LIVE, NOW, is_starting=is_starting)]


def entry(number: int, trigger: str = ROLLBACK, result: str = "applied", model: str = "") -> Entry:
    name = model or "default"
    return Entry(number, 1.0, name, "v1", "v2", "", trigger, "anna", "p99 4x", 1, "", result=result)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (progress(), []),
        (progress(SamplesDiffer("no")), ["refused"]),
        (progress(VersionHeld("v2 was rolled back")), ["held"]),
        (progress(HostDied("died"), retries=True), ["refused"]),
        (progress(VersionNotFound("not yet"), retries=True), []),
        (progress(VersionNotFound("not yet"), retries=True, waited=601), ["refused"]),
        (progress(PublishFailed("later"), retries=True), []),
        (progress(condition=StateMissing("gone")), ["refused"]),
        (progress(fallback="the last good version"), ["fallback"]),
        (progress(SamplesDiffer("no"), fallback="the last good one"), ["fallback", "refused"]),
    ],
)
def test_what_stands_is_named_once_it_is_settled(known: Progress, expected: list[str]) -> None:
    assert events(known) == expected


def test_a_server_that_is_starting_may_still_find_something() -> None:
    known = progress(SamplesDiffer("no"), applied=None)

    assert events(known, is_starting=True) == []
    assert events(known) == ["refused"]


def test_a_notice_says_what_is_wanted_and_what_is_live() -> None:
    (notice,) = standing(progress(SamplesDiffer("no")), LIVE, NOW, is_starting=False)

    assert (notice.model, notice.version, notice.previous) == ("default", "v2", "v1")
    assert notice.reason == "SamplesDiffer"


@pytest.mark.parametrize(
    "known", [progress(Invalid("line 1: no")), progress(condition=StateMissing("gone"))]
)
def test_a_text_without_a_meaning_wants_no_version(known: Progress) -> None:
    (notice,) = standing(known, LIVE, NOW, is_starting=False)

    assert (notice.version, notice.previous) == ("", "v1")


def test_what_comes_up_together_is_told_once_and_what_stood_before_not_again() -> None:
    both = standing(progress(SamplesDiffer("no"), fallback="x"), LIVE, NOW, is_starting=False)

    assert [each.event for each in fresh(both, [])] == ["fallback"]
    assert fresh(both, both) == []


def test_another_text_that_is_refused_is_told_again() -> None:
    first = standing(progress(SamplesDiffer("no")), LIVE, NOW, is_starting=False)
    second = standing(progress(SamplesDiffer("no"), generation=4), LIVE, NOW, is_starting=False)

    assert fresh(second, first) == second


def test_a_change_of_what_is_live_does_not_tell_an_old_refusal_again() -> None:
    first = standing(progress(SamplesDiffer("no")), LIVE, NOW, is_starting=False)
    second = standing(progress(SamplesDiffer("no")), {"default": "v0"}, NOW, is_starting=False)

    assert fresh(second, first) == []


def test_the_newest_rollback_of_each_model_is_told() -> None:
    entries = [entry(1), entry(2), entry(3), entry(4, model="churn"), entry(5, "file"),
               entry(6, result="LoadFailed")]  # fmt: skip

    found = rollbacks(entries, after=1)

    assert [(each.model, each.number) for each in found] == [("default", 3), ("churn", 4)]


def test_a_rollback_says_from_where_to_where_who_and_why() -> None:
    assert rollbacks([entry(2)], after=1)[0].headline() == (
        "Rolled back from v2 to v1 by anna: p99 4x."
    )
    assert Notice(ROLLBACK, 1, "churn", "c1", "", "").headline() == (
        "Rolled back from nothing to churn@c1."
    )
