"""What was live when is told with the commits that asked for it."""

import time
from dataclasses import replace

import pytest

from modeld.control.ledger import Entry
from modeld.control.timeline import Event, page, timeline
from modeld.git.log import Commit

A, B = "a" * 40, "b" * 40


def entry(number: int, at: float, blob: str, trigger: str = "file", commit: str = "") -> Entry:
    return Entry(
        number, at, "default", f"v{number}", None, "", trigger, "", "", number, blob, commit
    )


def commit(name: str, at: float, blob: str) -> Commit:
    return Commit(name, at, "Ann", f"Subject of {name}", (("Risk", "low"),), blob)


def told(events: tuple[Event, ...]) -> list[tuple[int, str]]:
    return [(e.entry.number if e.entry else 0, e.commit.id if e.commit else "") for e in events]


@pytest.mark.parametrize(
    ("entries", "commits", "expected"),
    [
        # Named by the entry itself.
        ([entry(1, 10, A, commit="c1")], [commit("c1", 9, A)], [(1, "c1")]),
        # Committed before it was seen, and saved before it was committed.
        ([entry(1, 10, A)], [commit("c1", 9, A)], [(1, "c1")]),
        ([entry(1, 10, A)], [commit("c1", 300, A)], [(1, "c1")]),
        # The newest before it, when a text came back.
        ([entry(1, 10, A)], [commit("c3", 9, A), commit("c2", 6, B), commit("c1", 3, A)],
         [(1, "c3"), (0, "c2"), (0, "c1")]),
        # No commit stands for two changes.
        ([entry(1, 10, A), entry(2, 20, B), entry(3, 30, A)],
         [commit("c2", 19, B), commit("c1", 9, A)],
         [(3, ""), (2, "c2"), (1, "c1")]),
        # A call made its change itself: an earlier commit with this text did not.
        ([entry(1, 10, A, "rollback")], [commit("c1", 3, A)], [(1, ""), (0, "c1")]),
        ([entry(1, 10, A, "admin")], [commit("c2", 40, A)], [(1, "c2")]),
        # Committed after the text was asked for again: it is of the last time.
        ([entry(1, 10, A, "admin"), entry(2, 20, B), entry(3, 100, A)], [commit("c1", 104, A)],
         [(3, "c1"), (2, ""), (1, "")]),
        # A text that is committed once more, and changes nothing.
        ([entry(1, 10, A, "admin")], [commit("c2", 50, A), commit("c1", 11, A)],
         [(0, "c2"), (1, "c1")]),
        # Back and forth within the seconds that commits are dated in.
        ([entry(1, 10.2, A, "admin"), entry(2, 10.6, B, "admin"), entry(3, 11.1, A, "admin")],
         [commit("c3", 11, A), commit("c2", 11, B), commit("c1", 11, A)],
         [(3, "c3"), (2, "c2"), (1, "c1")]),
        # In order, the first would have a commit that was made long before it.
        ([entry(1, 100, A, "admin"), entry(2, 160, A)], [commit("c2", 101, A), commit("c1", 9, A)],
         [(2, "c1"), (1, "c2")]),
        # An old match stays, whatever has no partner beside it.
        ([entry(1, 10, A), entry(2, 1000, A)], [commit("c1", 1001, A)], [(2, "c1"), (1, "")]),
        ([entry(1, 10, A, "admin"), entry(2, 20, A)], [commit("c1", 0, A)],
         [(2, "c1"), (1, "")]),
        # A commit that removes the file is not that of a call which was refused.
        ([entry(1, 10, "", "admin")], [commit("c1", 90, "")], [(0, "c1"), (1, "")]),
        # A commit that is no longer in the history of the branch.
        ([entry(1, 10, A, commit="gone")], [commit("c1", 3, A)], [(1, ""), (0, "c1")]),
        ([], [], []),
    ],
)  # fmt: skip
def test_an_entry_finds_its_commit(
    entries: list[Entry], commits: list[Commit], expected: list[tuple[int, str]]
) -> None:
    assert told(timeline(entries, commits)) == expected


def test_the_models_that_one_text_changed_share_its_commit() -> None:
    churn = replace(entry(2, 10, A), model="churn", generation=1)

    events = timeline([entry(1, 10, A), churn], [commit("c1", 9, A)])

    assert sorted(told(events)) == [(1, "c1"), (2, "c1")]


def test_a_model_is_told_alone() -> None:
    churn = replace(entry(2, 20, B), model="churn")

    events = timeline([entry(1, 10, A), churn], [commit("c1", 3, B)], "churn")

    assert told(events) == [(2, "c1")]


def test_pages_follow_each_other_without_gap_or_overlap() -> None:
    events = timeline([entry(1, 10, A), entry(2, 20, B)], [commit("c0", 5, "c" * 40)])

    first = page(events, 2)
    assert first is not None
    second = page(events, 2, first.next or "")

    assert second is not None
    assert first.events + second.events == events
    assert second.next is None
    assert page(events, 2, "nowhere") is None
    assert page((), 2) == replace(second, events=())


def test_a_commit_alone_says_that_nothing_was_switched() -> None:
    (event,) = timeline([], [commit("c1", 5, A)])

    document = event.document()

    assert (document["result"], document["commit"], document["number"]) == (
        "no switch here", "c1", None,
    )  # fmt: skip
    assert document["git"] == {
        "commit": "c1", "author": "Ann", "at": 5, "subject": "Subject of c1",
        "trailers": [["Risk", "low"]],
    }  # fmt: skip


def test_a_long_history_is_told_quickly() -> None:
    entries = [entry(number, number * 10, A, "admin") for number in range(10_000)]
    commits = [commit(f"c{number}", number * 500 + 1, A) for number in reversed(range(200))]
    began = time.process_time()

    events = timeline(entries, commits)

    assert time.process_time() - began < 2
    assert sum(event.commit is not None for event in events) == 200
