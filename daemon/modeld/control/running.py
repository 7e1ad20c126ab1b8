"""Keep calls that go on after their caller has been answered, for callers who poll."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from itertools import count
from typing import Any

from modeld.control.requested import Changed
from modeld.errors import ModeldError

_KEPT_OPERATIONS = 100


@dataclass(slots=True, eq=False)
class Operation:
    """A call that goes on after its caller has been answered."""

    id: str
    task: asyncio.Task[Changed]

    def document(self) -> dict[str, Any]:
        """Say how far it is."""
        if not self.task.done():
            return {"id": self.id, "status": "running"}
        error = self.task.exception()
        if isinstance(error, ModeldError):
            return {"id": self.id, "status": "failed", "code": error.code, "error": str(error)}
        if error is not None:
            return {
                "id": self.id,
                "status": "failed",
                "code": "internal_error",
                "error": "see the log",
            }
        return {"id": self.id, "status": "done", "result": self.task.result().document()}


class Running:
    """Operations that callers poll; the newest hundred are kept."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._operations: dict[str, Operation] = {}

    def start(self, call: Callable[[], Coroutine[Any, Any, Changed]]) -> Operation:
        """Start a call in the background."""
        operation = Operation(f"{next(self._numbers)}", asyncio.create_task(call()))
        operation.task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._operations[operation.id] = operation
        while len(self._operations) > _KEPT_OPERATIONS:
            del self._operations[next(iter(self._operations))]
        return operation

    def find(self, operation_id: str) -> Operation | None:
        """Find an operation by its id."""
        return self._operations.get(operation_id)
