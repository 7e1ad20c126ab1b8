"""Tell what was live when, and why: the history's entries joined with git's commits.

Pure functions. An entry names its commit, or is found by the text that both have: an editor
saves before it commits, and a call's change may be committed later. No commit stands for two
changes. A commit that nothing here goes back to is told as well: it was made before the
history began, was overtaken, was refused by a text that never came here, or changed nothing
that is live.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import chain
from operator import attrgetter
from typing import Any

from modeld.control.history import BY_CALL
from modeld.control.ledger import Entry
from modeld.git.log import Commit

NO_SWITCH = "no switch here"
MOST_COMMITS = 200
MOST_ENTRIES = 10_000

# Commits are dated in whole seconds, by a clock that may not be quite ours.
_SLACK_SECONDS = 2.0

_AT = attrgetter("at")


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the history, a commit, or both where they belong together."""

    entry: Entry | None
    commit: Commit | None

    @property
    def at(self) -> float:
        """When it was, in seconds since the epoch."""
        return self.entry.at if self.entry else self.commit.at if self.commit else 0.0

    @property
    def name(self) -> str:
        """What no other event is called."""
        return str(self.entry.number) if self.entry else self.commit.id if self.commit else ""

    def document(self) -> dict[str, Any]:
        """Give it for JSON; what a commit alone cannot say is `None`."""
        commit = self.commit
        known = asdict(self.entry) if self.entry else _of_commit(commit)
        git = None
        if commit is not None:
            git = {
                "commit": commit.id,
                "author": commit.author,
                "at": commit.at,
                "subject": commit.subject,
                "trailers": [list(each) for each in commit.trailers],
            }
        return {**known, "git": git}


@dataclass(frozen=True, slots=True)
class Page:
    """A part of the events; `next` is the cursor of the part after it, if there is one."""

    events: tuple[Event, ...]
    next: str | None


def timeline(
    entries: Sequence[Entry], commits: Sequence[Commit], model: str | None = None
) -> tuple[Event, ...]:
    """Join entries, oldest first, with commits, newest first; gives events, newest first.

    With a `model`, only its entries are told, and no commits of their own: they name no model.
    """
    of_entry = _matches(entries, commits)
    told = [entry for entry in entries if model in (None, entry.model)]
    events = [Event(entry, of_entry.get(entry.number)) for entry in reversed(told)]
    if model is None:
        matched = {commit.id for commit in of_entry.values()}
        events += [Event(None, commit) for commit in commits if commit.id not in matched]
    return tuple(sorted(events, key=lambda event: event.at, reverse=True))


def page(events: Sequence[Event], limit: int, cursor: str = "") -> Page | None:
    """Give the events after the one that the cursor names; `None` if there is no such event."""
    names = [event.name for event in events]
    if cursor and cursor not in names:
        return None
    begin = names.index(cursor) + 1 if cursor else 0
    shown = tuple(events[begin : begin + limit])
    has_more = begin + limit < len(events)
    return Page(shown, shown[-1].name if shown and has_more else None)


def _of_commit(commit: Commit | None) -> dict[str, Any]:
    known: dict[str, Any] = dict.fromkeys(field.name for field in fields(Entry))
    if commit is None:
        return known
    return known | {
        "at": commit.at,
        "blob": commit.blob,
        "commit": commit.id,
        "result": NO_SWITCH,
    }


def _matches(entries: Iterable[Entry], commits: Sequence[Commit]) -> Mapping[int, Commit]:
    """Find the commit of each entry, by its number."""
    by_id = {commit.id: commit for commit in commits}
    entries = tuple(entries)
    found = {entry.number: by_id[entry.commit] for entry in entries if entry.commit in by_id}
    # One text may change several models: its entries share their commit.
    of_wish = {_wish(entry): found[entry.number] for entry in entries if entry.number in found}
    asked: defaultdict[str, dict[_Wish, Entry]] = defaultdict(dict)
    for entry in entries:
        if entry.blob and not entry.commit and _wish(entry) not in of_wish:
            asked[entry.blob].setdefault(_wish(entry), entry)
    taken = {commit.id for commit in found.values()}
    for blob, wishes in asked.items():
        free = [c for c in reversed(commits) if c.blob == blob and c.id not in taken]
        told = sorted(wishes.values(), key=_AT)
        of_wish |= {_wish(entry): commit for entry, commit in _pairs(told, free)}
    nameless = (entry for entry in entries if not entry.commit)
    return found | {e.number: of_wish[_wish(e)] for e in nameless if _wish(e) in of_wish}


_Wish = tuple[int, str]
_Pair = tuple[Entry, Commit]


def _wish(entry: Entry) -> _Wish:
    return entry.generation, entry.blob


def _pairs(entries: Sequence[Entry], commits: Sequence[Commit]) -> Iterator[_Pair]:
    """Bring together, of one text and both oldest first, what is nearest in time.

    A call's change is committed after it, an edit of the file also before it is seen. Where
    several are as near as commits are dated, their order decides.
    """
    edits = [entry for entry in entries if entry.trigger not in BY_CALL]
    possible = []
    for commit in commits:
        # Of more than there are commits, the farther ones would not be taken.
        before = bisect_right(entries, commit.at + _SLACK_SECONDS, key=_AT)
        after = bisect_right(edits, commit.at + _SLACK_SECONDS, key=_AT)
        near = entries[max(before - len(commits), 0) : before], edits[after : after + len(commits)]
        possible += [(entry, commit) for entry in chain(*near)]
    possible.sort(key=_distance)
    taken: set[int | str] = set()
    for entry, commit in possible:
        if taken.isdisjoint((entry.number, commit.id)):
            taken |= {entry.number, commit.id}
            yield entry, commit


def _distance(pair: _Pair) -> float:
    entry, commit = pair
    return max(abs(entry.at - commit.at) - _SLACK_SECONDS, 0.0)
