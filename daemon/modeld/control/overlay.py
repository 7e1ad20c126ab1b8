"""The text of the wish: the file's, or one that had to be kept beside it.

Where the file cannot be written - a ConfigMap, a work tree that something else checks out, a
read-only disk - a change by a call is kept in the runtime folder instead. Such an override
stands for as long as the file has the text that it was made from; any other text in the file
ends it. Whoever reads here sees one text and need not ask where it lies.
"""

import threading
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from modeld.control.database import Database
from modeld.desired.document import DesiredState, blob_id, parse
from modeld.desired.file import StateDocument, StateFile
from modeld.desired.index_lock import IndexLock
from modeld.desired.watch import Hint, Mode
from modeld.errors import StateConflict, StateMissing, StateNotWritable, WishError
from modeld.log import get_logger

log = get_logger()

_NO_FILE = ""


@dataclass(frozen=True, slots=True)
class Override:
    """A text that stands in for the file's. `base_blob` is empty where there is no file."""

    text: bytes
    base_blob: str
    why: str
    at: float

    @property
    def document(self) -> StateDocument:
        """The text as if the file had it."""
        return StateDocument(self.text, blob_id(self.text))


class Overlay:
    """Reads and writes the wish. `is_ours` is false where the file is somebody else's to write."""

    def __init__(self, file: StateFile, database: Database, *, is_ours: bool = True) -> None:
        self._file = file
        self._database = database
        self._is_ours = is_ours
        self._lock = threading.Lock()
        row = database.row("SELECT text, base_blob, why, at FROM override")
        self._override = Override(*row) if row else None

    @property
    def override(self) -> Override | None:
        """What stands in for the file's text at the moment."""
        return self._override

    @property
    def mode(self) -> Mode:
        """Whether changes of the file are told by events, or only found by the tick."""
        return self._file.mode

    @property
    def index_lock(self) -> IndexLock:
        """Git's lock on the work tree that the file is in."""
        return self._file.index_lock

    def changes(self) -> AsyncGenerator[Hint, None]:
        """Hint, for ever, that the text may have changed."""
        return self._file.changes()

    def read(self) -> StateDocument:
        """Read the text that is wished for; raises as `StateFile.read` does."""
        override = self._override
        try:
            document = self._file.read()
        except StateMissing:
            if override is not None and override.base_blob == _NO_FILE:
                return override.document
            raise
        if override is not None and override.base_blob == document.blob:
            return override.document
        if override is not None and document.blob == override.document.blob:
            self.drop("the file says the same")
        return document

    def beneath(self) -> DesiredState | None:
        """Give what the file itself asks for, whatever stands in for it."""
        try:
            return parse(self._file.read().data)
        except WishError:
            return None

    def asks_for(self, model: str, version: str) -> bool:
        """Tell whether the wish, wherever it is kept, wants a version to be live."""
        try:
            wish = parse(self.read().data).model(model)
        except WishError:
            return False
        return wish is not None and wish.active == version

    def settled(self, document: StateDocument) -> None:
        """Take note of a text that holds still: another one in the file ends the override."""
        override = self._override
        if override is not None and document.blob != override.document.blob:
            self.drop("the file has another text")

    def write(self, text: str, *, expected: str | None) -> StateDocument:
        """Replace the text that has the blob `expected`, in the file or beside it.

        Raises `StateConflict` when another text stands there.
        """
        override = self._override
        base = expected
        if override is not None and expected == override.document.blob:
            base = override.base_blob or None
        try:
            if not self._is_ours:
                raise StateNotWritable("it is checked out from a remote, which is what decides")
            document = self._file.write(text, expected=base)
        except StateNotWritable as error:
            return self._keep(text, base, str(error))
        self.drop("the file was written")
        return document

    def _keep(self, text: str, base: str | None, why: str) -> StateDocument:
        found = self._current_blob()
        if found != base:
            raise StateConflict(f"the state file has changed: expected {base}, found {found}")
        document = StateDocument(text.encode(), blob_id(text.encode()))
        if document.blob == base:
            self.drop("the file says the same")
            return document
        override = Override(text.encode(), base or _NO_FILE, why, time.time())
        self._database.write(
            "INSERT OR REPLACE INTO override VALUES (1, ?, ?, ?, ?)",
            (override.text, override.base_blob, override.why, override.at),
        )
        with self._lock:
            self._override = override
        log.warning("override.made", blob=override.document.blob[:12], why=why)
        return override.document

    def _current_blob(self) -> str | None:
        try:
            return self._file.read().blob
        except StateMissing:
            return None

    def drop(self, why: str) -> None:
        """Let the file have its say again."""
        with self._lock:
            override, self._override = self._override, None
        if override is not None:
            self._database.write("DELETE FROM override")
            log.warning("override.dropped", blob=override.document.blob[:12], why=why)
