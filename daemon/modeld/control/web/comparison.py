"""`/admin/diff`: two versions side by side."""

import asyncio

from modeld.control.comparing import compare_versions, comparison_document
from modeld.control.progress import Progress
from modeld.control.web.calls import Answer, Call, Calls, json_answer
from modeld.domain import DEFAULT_MODEL, ModelVersion
from modeld.errors import InvalidParameter
from modeld.repository.digest import DigestCache
from modeld.repository.versions import Repository


def add_diff(calls: Calls, repository: Repository, progress: Progress) -> None:
    """Add the route to the table."""
    cache = DigestCache()

    async def diff(call: Call) -> Answer:
        before, after = call.query.get("from", ""), call.query.get("to", "")
        if not (before and after):
            raise InvalidParameter("name two versions: /admin/diff?from=v1&to=v2")
        model = call.query.get("model") or DEFAULT_MODEL
        old, new = ModelVersion(model, before), ModelVersion(model, after)
        named = tuple(w.model for w in progress.desired.models) if progress.desired else ()
        found = await asyncio.to_thread(compare_versions, repository, old, new, named, cache)
        document = {"model": model, "from": before, "to": after}
        return json_answer(document | comparison_document(found))

    calls.add("GET", "/admin/diff", diff)
