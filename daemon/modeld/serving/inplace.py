"""Run a version in the worker itself: small work on the loop, the rest in a thread.

Lone rows that arrive in one turn of the loop are answered by one call of the model, at
the end of the turn: a call costs more than a row. The first of a turn does not wait for
company where the last turn had none, so that a lone client is answered at once.
"""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from modeld.domain import ReleaseSpec, WorkerSettings
from modeld.errors import DeadlineExceeded, ModeldError, ModelError, Overloaded
from modeld.http.wire import Predictions, Rows
from modeld.runtimes.model import Model, as_plain
from modeld.serving.later import Later

_ON_LOOP_SECONDS = 0.0002
_MOST_GATHERED = 64


class InPlaceModel:
    """A version that this worker runs: small work on the loop, the rest in its one thread."""

    def __init__(self, spec: ReleaseSpec, model: Model, settings: WorkerSettings) -> None:
        self._spec = spec
        self._model = model
        self._settings = settings
        # Rows are best made of what the model reads; a model that does not say reads any.
        self.row_type = getattr(model, "row_type", np.float64)
        self._thread = ThreadPoolExecutor(1, f"{spec.version}")
        self._waiting = 0
        quick = _ON_LOOP_SECONDS / spec.row_seconds if spec.row_seconds else settings.max_rows
        self._most_rows_on_loop = int(quick)
        # Only of a compiled model is it proven that rows do not mind each other's company.
        self._gathers = spec.runtime == "compiled" and spec.batching
        self.keeps_lone = self._gathers and spec.signature.rank == 1 and spec.signature.is_plain
        """Whether a lone row of numbers may come as a list, to be made an array with others."""
        self._gathered: list[tuple[Rows, Later]] = []
        self._has_turn = False
        """Whether a row came in this turn of the loop already."""
        self._has_company = False
        """Whether several rows came in the last turn that had any."""
        self._loop = asyncio.get_running_loop()

    def predict(
        self, rows: Rows, wants_probabilities: bool
    ) -> Predictions | Later | asyncio.Future[Predictions]:
        """Answer now or in this turn where that is quick; raises `Overloaded` at too many."""
        if rows.length <= self._most_rows_on_loop:
            if self._gathers and rows.length == 1 and not wants_probabilities:
                return self._gather(rows)
            return self._run(rows, wants_probabilities)
        if self._waiting >= self._settings.max_queue:
            raise Overloaded(f"{self._waiting} requests wait for {self._spec.version} already")
        return asyncio.ensure_future(self._run_in_thread(rows, wants_probabilities))

    def _gather(self, rows: Rows) -> Predictions | Later:
        if not self._has_turn:
            self._has_turn = True
            self._loop.call_soon(self._run_gathered)
            if not self._has_company:
                return self._run(rows, False)
        answer = Later()
        self._gathered.append((rows, answer))
        return answer

    def _run_gathered(self) -> None:
        gathered, self._gathered = self._gathered, []
        self._has_turn = False
        self._has_company = len(gathered) > self._has_company
        for start in range(0, len(gathered), _MOST_GATHERED):
            self._run_together(gathered[start : start + _MOST_GATHERED])

    def _run_together(self, gathered: list[tuple[Rows, Later]]) -> None:
        """Answer lone rows in one call, or one by one where one of them spoils it."""
        if len(gathered) > 1:
            with contextlib.suppress(ModeldError, ValueError, TypeError, OverflowError):
                together = self._joined([rows.values for rows, _ in gathered])
                values = self._run(Rows(together, len(gathered), False), False).values
                for (_, answer), value in zip(gathered, values, strict=True):
                    answer.settle(Predictions([value]))
                return
        for rows, answer in gathered:
            self._answer_alone(rows, answer)

    def _joined(self, parts: list[Any]) -> Any:
        if self.keeps_lone:
            return np.array([row for (row,) in parts], self.row_type)
        return np.concatenate(parts)

    def _answer_alone(self, rows: Rows, answer: Later) -> None:
        if answer.done():
            return
        try:
            found = self._run(rows, False)
        except ModeldError as error:
            answer.settle(error)
        else:
            answer.settle(found)

    async def _run_in_thread(self, rows: Rows, wants_probabilities: bool) -> Predictions:
        self._waiting += 1
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._settings.request_timeout):
                return await loop.run_in_executor(
                    self._thread, self._run, rows, wants_probabilities
                )
        except TimeoutError:
            limit = self._settings.request_timeout
            raise DeadlineExceeded(f"no answer within {limit:g} s") from None
        finally:
            self._waiting -= 1

    def _run(self, rows: Rows, wants_probabilities: bool) -> Predictions:
        given, length = rows.values, rows.length
        try:
            if self.keeps_lone and type(given) is list:
                given = np.array(given, self.row_type)
            values = as_plain(self._model.predict(given), length)
            if not wants_probabilities:
                return Predictions(values)
            return Predictions(values, as_plain(self._model.probabilities(given), length))
        except ModeldError:
            raise
        except Exception as error:
            # onnxruntime raises classes of its own for whatever a graph meets.
            raise ModelError(f"{type(error).__name__}: {str(error)[:150]}") from error

    def close(self) -> None:
        """Let go of the session and its thread."""
        self._thread.shutdown(wait=False)
