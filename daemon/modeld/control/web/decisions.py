"""Show the newest decisions of this process: what it did, and why, as the log had it."""

from modeld.control.web.calls import Answer, Call, Calls, json_answer
from modeld.log import kept


def add_decisions(calls: Calls) -> None:
    """Add `/admin/decisions`."""

    async def decisions(_call: Call) -> Answer:
        return json_answer({"decisions": kept()})

    calls.add("GET", "/admin/decisions", decisions)
