"""Follow now: asked by an admin, or hinted at by a push.

What a push sends is signed with the secret that both sides know, and is read no further than
that: it says that something may have moved, and the remote is asked what.
"""

import asyncio
import hashlib
import hmac

from pydantic import SecretStr

from modeld.control.following import Following
from modeld.control.reconciler import Reconciler
from modeld.control.web.calls import Answer, Call, Calls, json_answer
from modeld.errors import Unauthorized, UnknownField, WishError, WrongType

_SIGNATURE = "x-hub-signature-256"


class GitCalls:
    """The routes that make the server look at its source now."""

    def __init__(
        self, following: Following | None, reconciler: Reconciler, secret: SecretStr | None
    ) -> None:
        self._following = following
        self._reconciler = reconciler
        self._secret = secret

    def add_to(self, calls: Calls) -> None:
        """Add the routes to the table; without a secret nobody can sign a push."""
        calls.add("POST", "/admin/sync", self._sync)
        if self._secret is not None:
            calls.add("POST", "/hooks/push", self._pushed, is_public=True)

    async def _sync(self, call: Call) -> Answer:
        force = _force(call)
        commit: str | None = None
        previous: str | None = None
        if self._following is not None:
            found = await self._following.sync(force=force)
            commit, previous = found.head.commit, found.previous
        self._reconciler.wake()
        return json_answer({"commit": commit, "previous": previous, "blob": await self._blob()})

    async def _blob(self) -> str | None:
        try:
            return (await self._reconciler.read()).blob
        except WishError:
            return None

    async def _pushed(self, call: Call) -> Answer:
        # In a thread: anybody may send a long body.
        await asyncio.to_thread(self._check, call)
        if self._following is not None:
            self._following.hint()
        self._reconciler.wake()
        return json_answer({"accepted": True}, 202)

    def _check(self, call: Call) -> None:
        secret = self._secret.get_secret_value() if self._secret is not None else ""
        digest = hmac.new(secret.encode(), call.body, hashlib.sha256).hexdigest()
        given = call.caller.headers.get(_SIGNATURE, "")
        # Bytes: texts outside ASCII cannot be compared in constant time.
        if not hmac.compare_digest(f"sha256={digest}".encode(), given.encode(errors="replace")):
            raise Unauthorized("X-Hub-Signature-256 is missing or not made with our secret")


def _force(call: Call) -> bool:
    content = call.content()
    force = content.pop("force", False)
    if content:
        raise UnknownField(f'unknown key "{next(iter(content))[:80]}"; this takes "force"')
    if not isinstance(force, bool):
        raise WrongType('"force" must be true or false')
    return force
