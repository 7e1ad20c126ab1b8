"""`/admin/history`: what was live when, who asked for it, and what was refused."""

import asyncio

from modeld.control.ledger import Ledger
from modeld.control.timeline import MOST_COMMITS, MOST_ENTRIES, Page, page, timeline
from modeld.control.web.calls import Answer, Call, Calls, json_answer
from modeld.errors import InvalidParameter
from modeld.git.log import FileLog

_GIT_SECONDS = 5.0
_LIMIT = 50
_LARGEST_LIMIT = 1000


class History:
    """The route, on the ledger and the commits of the state file."""

    def __init__(self, ledger: Ledger, commits: FileLog) -> None:
        self._ledger = ledger
        self._commits = commits

    def add_to(self, calls: Calls) -> None:
        """Add the route to the table."""
        calls.add("GET", "/admin/history", self._get)

    async def _get(self, call: Call) -> Answer:
        limit = _limit(call.query.get("limit", str(_LIMIT)))
        model, cursor = call.query.get("model") or None, call.query.get("cursor", "")
        found = await asyncio.to_thread(self._page, model, limit, cursor)
        if found is None:
            raise InvalidParameter("cursor names nothing; take it from `next` of the page before")
        return json_answer(
            {"entries": [event.document() for event in found.events], "next": found.next}
        )

    def _page(self, model: str | None, limit: int, cursor: str) -> Page | None:
        entries = self._ledger.attempts(MOST_ENTRIES)
        commits = self._commits.commits(MOST_COMMITS, seconds=_GIT_SECONDS)
        return page(timeline(entries, commits, model), limit, cursor)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_LARGEST_LIMIT))):
        raise InvalidParameter(f"limit must be a whole number from 1 to {_LARGEST_LIMIT}")
    if not 1 <= int(text) <= _LARGEST_LIMIT:
        raise InvalidParameter(f"limit must be a whole number from 1 to {_LARGEST_LIMIT}")
    return int(text)
