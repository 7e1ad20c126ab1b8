"""The routes of holds, and of trying again."""

import asyncio

from modeld.control.emergency import hold_document
from modeld.control.holds import Holds
from modeld.control.operations import Operations
from modeld.control.reconciler import Reconciler
from modeld.control.web.calls import Answer, Call, Calls, json_answer
from modeld.domain import DEFAULT_MODEL


class HoldRoutes:
    """`/admin/holds` and `/admin/retry`."""

    def __init__(self, holds: Holds, operations: Operations, reconciler: Reconciler) -> None:
        self._holds = holds
        self._operations = operations
        self._reconciler = reconciler

    def add_to(self, calls: Calls) -> None:
        """Add the routes to the table."""
        calls.add("GET", "/admin/holds", self._get)
        calls.add("DELETE", "/admin/holds/", self._release)
        calls.add("POST", "/admin/retry", self._retry)

    async def _get(self, _call: Call) -> Answer:
        return json_answer({"holds": [hold_document(hold) for hold in self._holds.active]})

    async def _release(self, call: Call) -> Answer:
        version = call.path.rsplit("/", 1)[1]
        model = call.query.get("model", DEFAULT_MODEL)
        work = self._operations.unhold(version, model, call.query.get("actor", ""))
        # A caller that goes away must not leave half of it.
        return json_answer(await asyncio.shield(asyncio.ensure_future(work)))

    async def _retry(self, _call: Call) -> Answer:
        """Try a refused text again; who wants to know how it went waits for it."""
        self._reconciler.try_again()
        return json_answer({"retried": True}, 202)
