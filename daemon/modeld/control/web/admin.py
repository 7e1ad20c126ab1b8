"""The admin API: change what is live, and see what is wanted and what runs."""

import asyncio
import difflib
import json
from typing import Any

from modeld.control.operations import Operations
from modeld.control.progress import Progress
from modeld.control.reconciler import Reconciler
from modeld.control.requested import Changed, SetActive
from modeld.control.running import Running
from modeld.control.status import Status
from modeld.control.web.calls import Answer, Call, Calls, json_answer
from modeld.errors import (
    InvalidParameter,
    MissingField,
    ModeldError,
    NotFound,
    Refused,
    Superseded,
    UnknownField,
    WaitTimeout,
    WishError,
    WrongType,
)

_LONGEST_WAIT = 600.0
_SET = {
    "version": str, "reason": str, "actor": str, "expected_version": str, "model": str,
    "dry_run": bool, "wait": bool, "hold": bool,
}  # fmt: skip
_ROLLBACK = {
    "reason": str, "actor": str, "to": str, "model": str, "expected_version": str,
    "dry_run": bool, "wait": bool, "hold": bool,
}  # fmt: skip
_LONGEST_TEXT = 500


class Admin:
    """The routes under `/admin`."""

    def __init__(
        self,
        operations: Operations,
        reconciler: Reconciler,
        progress: Progress,
        status: Status,
    ) -> None:
        self._operations = operations
        self._reconciler = reconciler
        self._progress = progress
        self._status = status
        self._running = Running()

    def add_to(self, calls: Calls) -> None:
        """Add the routes to the table."""
        calls.add("POST", "/admin/set-active-version", self._set_active)
        calls.add("POST", "/admin/rollback", self._rollback)
        calls.add("GET", "/admin/status", self._get_status)
        calls.add("GET", "/admin/wait", self._wait)
        calls.add("GET", "/admin/operations/", self._get_operation)

    async def _set_active(self, call: Call) -> Answer:
        content = _checked(call.content(), _SET)
        if "version" not in content:
            raise MissingField('"version" is missing: send {"version": "v2"}')
        wait = content.pop("wait", True)
        request = SetActive(**content, if_match=_if_match(call), request_id=call.request_id)
        return await self._run(wait, lambda: self._operations.set_active(request))

    async def _rollback(self, call: Call) -> Answer:
        content = _checked(call.content(), _ROLLBACK)
        wait = content.pop("wait", True)
        version = content.pop("to", "")
        request = SetActive(
            version, **content, if_match=_if_match(call), request_id=call.request_id
        )
        return await self._run(wait, lambda: self._operations.rollback(request))

    async def _run(self, wait: bool, call: Any) -> Answer:
        operation = self._running.start(call)
        if not wait:
            path = f"/admin/operations/{operation.id}"
            return json_answer(operation.document() | {"url": path}, 202, {"Location": path})
        # A caller that goes away must not leave half a change.
        changed: Changed = await asyncio.shield(operation.task)
        headers = {"ETag": f'"{changed.blob}"'} if changed.blob else {}
        return json_answer(changed.document(), headers=headers)

    async def _get_operation(self, call: Call) -> Answer:
        operation = self._running.find(call.path.rsplit("/", 1)[1])
        if operation is None:
            raise NotFound("no such operation; the newest hundred are kept")
        return json_answer(operation.document())

    async def _get_status(self, _call: Call) -> Answer:
        document = await asyncio.to_thread(self._status.document)
        blob = document["live"]["blob"]
        return json_answer(document, headers={"ETag": f'"{blob}"'} if blob else {})

    # Waiting

    async def _wait(self, call: Call) -> Answer:
        """Answer once a blob is applied (200) or refused (409), or time is up (504)."""
        blob = call.query.get("blob", "")
        if not blob:
            raise InvalidParameter("blob is missing: git rev-parse HEAD:state/active.yaml")
        seconds = call.number("timeout", 120.0, _LONGEST_WAIT)
        self._reconciler.wake()
        was_seen = blob in self._progress.seen and not await self._is_in_file(blob)
        try:
            async with asyncio.timeout(seconds):
                await self._until_decided(blob, was_seen=was_seen)
        except TimeoutError:
            raise WaitTimeout(
                f"{blob[:12]} was not applied within {seconds:g} s. {self._status.summary()}"
            ) from None
        return await self._get_status(call)

    async def _is_in_file(self, blob: str) -> bool:
        try:
            return (await self._reconciler.read()).blob == blob
        except WishError:
            return False

    async def _until_decided(self, blob: str, *, was_seen: bool) -> None:
        while True:
            progress = self._progress
            is_now = progress.observed is not None and progress.observed.blob == blob
            if is_now and progress.is_served(blob):
                return
            override = self._reconciler.override
            if override is not None and override.base_blob == blob:
                raise Refused(self._status.summary())
            if was_seen and not is_now:
                raise Superseded(f"a newer wish overtook it. {self._status.summary()}")
            was_seen = was_seen or is_now
            refusal = progress.refusal
            if refusal is not None and refusal.blob == blob and _is_verdict(refusal.error):
                raise Refused(self._status.summary())
            await progress.changed()


def _is_verdict(error: ModeldError) -> bool:
    """Tell a refusal from a wait for files that may still arrive."""
    return not error.retryable and error.reason not in ("VersionNotFound", "ModelNotFound")


def _if_match(call: Call) -> str | None:
    value = call.caller.headers.get("if-match", "").strip().strip('"')
    return value if value and value != "*" else None


def _checked(content: dict[str, Any], fields: dict[str, type]) -> dict[str, Any]:
    for name, value in content.items():
        if name not in fields:
            close = difflib.get_close_matches(name, fields, 1)
            hint = f' (did you mean "{close[0]}"?)' if close else ""
            raise UnknownField(f'unknown key "{name[:80]}"{hint}')
        if type(value) is not fields[name]:
            kind = "true or false" if fields[name] is bool else "a text"
            found = json.dumps(value)[:40]
            raise WrongType(f'"{name}" must be {kind}, found {found}')
        if isinstance(value, str) and len(value) > _LONGEST_TEXT:
            raise WrongType(f'"{name}" is longer than {_LONGEST_TEXT} characters')
    return content
