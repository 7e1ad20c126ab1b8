"""Change the wish by a call: prove the version first, then write the file and switch.

Nothing changes on any failure. The file is written by compare-and-set between the
workers' preparation and their commit, so that an answered call is true everywhere. An
edit that meets somebody else's is tried again on their text, at most three times,
unless the caller said what it expects to find.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Any

from modeld.control.changes import Cause
from modeld.control.emergency import Emergency, Live, Planned
from modeld.control.history import ROLLBACK, rollback_target, why_stays
from modeld.control.ledger import Ledger
from modeld.control.progress import Progress
from modeld.control.reconciler import Reconciler
from modeld.control.requested import Changed, SetActive
from modeld.control.switch import Switch
from modeld.desired.document import DesiredState, blob_id, parse, set_active
from modeld.desired.file import StateDocument
from modeld.domain import ModelVersion, is_version_name
from modeld.errors import (
    Invalid,
    InvalidVersionName,
    ModelNotFound,
    PreconditionFailed,
    StateConflict,
    StateEmpty,
    StateMissing,
    VersionError,
    VersionNotFound,
)
from modeld.repository.versions import NAME_RULE, Repository

Document = dict[str, Any]

_TRIES = 3


@dataclass(frozen=True, slots=True)
class _Base:
    """The text that an edit starts from."""

    text: str
    blob: str | None
    desired: DesiredState | None


class Operations:
    """The verbs that change the wish."""

    def __init__(
        self,
        repository: Repository,
        reconciler: Reconciler,
        progress: Progress,
        switch: Switch,
        ledger: Ledger,
        emergency: Emergency,
    ) -> None:
        self._emergency = emergency
        self._repository = repository
        self._reconciler = reconciler
        self._progress = progress
        self._switch = switch
        self._ledger = ledger
        self._one_at_a_time = asyncio.Lock()

    async def set_active(self, request: SetActive) -> Changed:
        """Make a version the live one; raises why it cannot be, and writes that down."""
        if not is_version_name(request.version):
            raise InvalidVersionName(f"{request.version[:80]!r} is no version name: {NAME_RULE}")
        try:
            return await self._changed(request)
        except VersionError as error:
            if not (request.dry_run or isinstance(error, VersionNotFound | ModelNotFound)):
                await self._note_refusal(request, error)
            raise

    async def _note_refusal(self, request: SetActive, error: VersionError) -> None:
        await asyncio.to_thread(
            self._switch.recording.refused_call,
            ModelVersion(request.model, request.version),
            error,
            self._progress.generation,
            Cause(request.trigger, request.actor, request.reason, request.received_at),
        )

    async def _changed(self, request: SetActive) -> Changed:
        await self._load_ahead(request)
        for left in reversed(range(_TRIES)):
            try:
                async with self._one_at_a_time:
                    return await self._set_active(request)
            except StateConflict:
                expects = request.expected_version is not None or request.if_match is not None
                if expects or not left:
                    raise
        raise AssertionError  # the loop returns or raises

    async def _load_ahead(self, request: SetActive) -> None:
        """Load while others may still change things: only the switch itself takes turns."""
        base = await self._base()
        self._check_expectations(request, base)
        await self._find(request, base)
        is_urgent = bool(request.reason) or request.is_rollback
        version = ModelVersion(request.model, request.version)
        await self._switch.gathering.load(version, base.desired, is_urgent=is_urgent)

    async def _find(self, request: SetActive, base: _Base) -> None:
        named = tuple(wish.model for wish in base.desired.models) if base.desired else ()
        version = ModelVersion(request.model, request.version)
        await asyncio.to_thread(self._repository.folder, version, named)

    async def rollback(self, request: SetActive) -> Changed:
        """Go back to the version that was live before; pressed again it stays.

        Raises `VersionNotFound` when there is nothing to go back to.
        """
        request = replace(request, trigger=ROLLBACK)
        if request.version:
            return await self.set_active(request)
        if asked_for := await self._never_live(request.model):
            return await self.set_active(replace(request, version=asked_for))
        entries = await self._switch.history(request.model)
        target = rollback_target(entries, self._held(request.model))
        if target.version is not None:
            return await self.set_active(replace(request, version=target.version))
        self._check_expectations(request, await self._base())
        current = self._current(request.model)
        if current is None:
            raise VersionNotFound("nothing was live yet, so there is nothing to go back to")
        why = why_stays(entries, self._emergency.holds_of(request.model))
        if not entries or entries[-1].trigger != ROLLBACK:
            raise VersionNotFound(why)
        return replace(
            self._answer(request, current),
            unchanged=True,
            further_back=target.further,
            message=why,
        )

    def _held(self, model: str) -> tuple[str, ...]:
        return tuple(hold.version for hold in self._emergency.holds_of(model))

    async def _never_live(self, model: str) -> str | None:
        """Name the live version where the file asks for another, which is not served.

        To go back from what was never live is to stay, and to say so in the file.
        """
        base = await self._base()
        current = self._current(model)
        wish = base.desired.model(model) if base.desired else None
        if current is None or wish is None or wish.active == current:
            return None
        return current

    def _current(self, model: str) -> str | None:
        return self._switch.live_versions().get(model)

    def _answer(self, request: SetActive, version: str) -> Changed:
        applied = self._progress.applied
        return Changed(
            model=request.model,
            previous=self._current(request.model),
            active=version,
            generation=self._progress.generation,
            blob=applied.wish.blob if applied else None,
            digest=self._switch.digest_of_live(request.model),
            written=False,
        )

    async def _set_active(self, request: SetActive) -> Changed:
        base = await self._base()
        self._check_expectations(request, base)
        await self._find(request, base)
        desired = base.desired
        version = ModelVersion(request.model, request.version)
        current = self._current(request.model)
        wish = desired.model(request.model) if desired else None
        if current == request.version and wish is not None and wish.active == current:
            return replace(self._answer(request, current), unchanged=True)
        text = set_active(base.text, request.model, request.version)
        gathered = await self._switch.gathering.gather_one(version, parse(text.encode()))
        if request.dry_run:
            answer = self._answer(request, request.version)
            return replace(answer, dry_run=True, digest=gathered.live[request.model].spec.digest)
        await asyncio.to_thread(self._ledger.check_writable)
        live = Live(current, self._switch.digest_of_live(request.model))
        planned = await self._emergency.plan(request, desired, base.blob or "", live)
        cause = Cause(request.trigger, request.actor, request.reason, request.received_at)
        try:
            await self._reconciler.change(text, expected=base.blob, gathered=gathered, cause=cause)
        except BaseException:
            await asyncio.shield(self._emergency.undo(planned))
            raise
        await self._emergency.done(request, planned)
        answer = self._answer(request, request.version)
        return self._told(replace(answer, previous=current, blob=blob_id(text.encode())), planned)

    def _told(self, answer: Changed, planned: Planned) -> Changed:
        """Complete the answer: where the change is, and what could undo it."""
        override = self._reconciler.override
        hold, warning = self._emergency.said_of(planned, is_written=override is None)
        return replace(
            answer,
            written=override is None,
            why_not_written=override.why if override else "",
            hold=hold,
            git=self._emergency.git(),
            message=warning,
        )

    async def unhold(self, version: str, model: str, actor: str) -> Document:
        """Let a held version be live again, as soon as the file asks for it.

        An override of the file that asks for it ends too. Raises `VersionNotFound` when there
        is nothing to release.
        """
        is_held = await self._emergency.release(ModelVersion(model, version), actor)
        is_overridden = await self._reconciler.drop_override(ModelVersion(model, version))
        if not (is_held or is_overridden):
            raise VersionNotFound(f"{version} is not held", self._held(model))
        self._reconciler.try_again()
        return {"released": version, "model": model, "was_overridden": is_overridden}

    async def _base(self) -> _Base:
        """Read the text to edit: the file's, or the last good one where that cannot be edited."""
        try:
            document = await self._reconciler.read()
        except (StateMissing, StateEmpty) as error:
            blob = None if isinstance(error, StateMissing) else blob_id(b"")
            return self._good_base(blob)
        try:
            return _Base(document.data.decode(), document.blob, parse(document.data))
        except (Invalid, StateEmpty, UnicodeDecodeError):
            self._keep(document)
            return self._good_base(document.blob)

    def _good_base(self, blob: str | None) -> _Base:
        applied = self._progress.applied
        if applied is None:
            return _Base("", blob, None)
        return _Base(applied.wish.text.decode(), blob, applied.wish.desired)

    def _keep(self, document: StateDocument) -> None:
        """Nothing is lost: a text that cannot be understood is kept before it is replaced."""
        self._ledger.keep_text(document.blob, document.data, time.time())

    def _check_expectations(self, request: SetActive, base: _Base) -> None:
        if request.if_match is not None and request.if_match != base.blob:
            raise PreconditionFailed(
                f"If-Match names {request.if_match[:12]}, the file has "
                f"{(base.blob or 'nothing')[:12]}: somebody changed it; look again"
            )
        current = self._current(request.model)
        if request.expected_version is not None and request.expected_version != current:
            raise StateConflict(
                f"expected {request.expected_version} to be live, found {current}: "
                "somebody was faster; look again"
            )
