import asyncio
import json
from dataclasses import replace
from typing import Any, cast

import pytest

from modeld.domain import ModelVersion, Signature
from modeld.errors import ModelError, Overloaded, VersionNotFound
from modeld.http.wire import Predictions, Rows
from modeld.serving.predictor import Predictor, Reply
from modeld.serving.snapshot import Release, Snapshot
from modeld.slots import ERROR_CODES, Slots
from tests.serving.test_snapshot import SETTINGS, SPEC

ROW = b'{"features": [1, 2]}'
NAMED = {"X-Model-Version": "v1", "X-Model-Runtime": "onnx"}


class Fake:
    """A model that answers at once, later, or not at all."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.closed = False

    def predict(self, rows: Rows, wants_probabilities: bool) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        if callable(self.answer):
            return asyncio.ensure_future(self.answer())
        scores = [[0.5, 0.5]] * rows.length if wants_probabilities else None
        return Predictions([self.answer] * rows.length, scores)

    def close(self) -> None:
        self.closed = True


class World:
    """A predictor and one live version."""

    def __init__(self, slots: Slots, answer: Any = 7, **signature: Any) -> None:
        self.slots = slots
        self.model = Fake(answer)
        self.wanted: list[ModelVersion] = []
        spec = replace(SPEC, signature=Signature(width=2, **signature))
        self.release = Release(spec, cast("Any", self.model))
        self.predictor = Predictor(replace(SETTINGS, max_rows=3), slots, self._want)
        self.predictor.snapshot = Snapshot(
            1, {"default": self.release}, {SPEC.version: self.release}
        )

    async def _want(self, version: ModelVersion) -> None:
        self.wanted.append(version)
        if version.version == "v9":
            raise VersionNotFound("no version v9", ("v1",))
        if version.version == "v2":
            release = Release(replace(SPEC, id=2, version=version), cast("Any", self.model))
            self.predictor.snapshot = Snapshot(
                2, {"default": self.release}, {SPEC.version: self.release, version: release}
            )

    async def ask(self, query: str = "", body: bytes = ROW) -> tuple[int, Any, Reply]:
        reply = await self.predictor.answer(query, body, "abc")
        return reply.status, json.loads(reply.body), reply

    def counts(self) -> tuple[tuple[int, ...], dict[str, int]]:
        errors = zip(ERROR_CODES, self.slots.errors(SPEC.slot), strict=True)
        return self.slots.outcomes(SPEC.slot), {code: n for code, n in errors if n}


@pytest.mark.parametrize(
    ("query", "body", "content"),
    [
        ("", ROW, {"prediction": 7, "model_version": "v1"}),
        ("version=v1", ROW, {"prediction": 7, "model_version": "v1"}),
        ("", b'{"features": [[1, 2]]}', {"predictions": [7], "model_version": "v1"}),
        (
            "proba=true",
            ROW,
            {
                "prediction": 7,
                "model_version": "v1",
                "probabilities": [0.5, 0.5],
                "classes": [6, 7],
            },
        ),
    ],
)
async def test_a_prediction_is_answered_named_and_counted(
    slots: Slots, query: str, body: bytes, content: Any
) -> None:
    world = World(slots, has_probabilities=True, classes=(6, 7))

    status, found, reply = await world.ask(query, body)

    assert (status, found, dict(reply.headers)) == (200, content, NAMED)
    assert world.counts() == ((1, 0, 0), {})
    assert world.release.in_flight == 0


@pytest.mark.parametrize(
    ("answer", "query", "body", "failure", "outcomes"),
    [
        (7, "", b"{", (400, "bad_json"), (0, 1, 0)),
        (7, "", b'{"features": [1]}', (422, "wrong_shape"), (0, 1, 0)),
        (7, "", b'{"instances": [[1,2],[1,2],[1,2],[1,2]]}', (413, "too_many_rows"), (0, 1, 0)),
        (7, "proba=true", ROW, (422, "no_probabilities"), (0, 1, 0)),
        (ModelError("it raised"), "", ROW, (500, "model_error"), (0, 0, 1)),
        (Overloaded("full"), "", ROW, (503, "overloaded"), (0, 0, 1)),
        (RuntimeError("a secret"), "", ROW, (500, "internal_error"), (0, 0, 1)),
        (object(), "", ROW, (500, "internal_error"), (0, 0, 1)),
    ],
)
async def test_what_goes_wrong_names_the_version_and_is_counted(
    slots: Slots, answer: Any, query: str, body: bytes, failure: Any, outcomes: Any
) -> None:
    world = World(slots, answer)

    found, content, reply = await world.ask(query, body)

    assert (found, content["code"], content["request_id"]) == (*failure, "abc")
    assert "secret" not in content["error"]
    assert reply.headers["X-Model-Version"] == "v1"
    assert ("Retry-After" in reply.headers) is (found == 503)
    assert world.counts()[0] == outcomes
    assert sum(world.counts()[1].values()) == 1
    assert world.release.in_flight == 0


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("versoin=v1", 422, "invalid_parameter"),
        ("version=latest", 422, "invalid_version_name"),
        ("version=v9", 404, "version_not_found"),
        ("version=v3", 404, "version_not_found"),
        ("model=churn", 404, "model_not_found"),
    ],
)
async def test_what_reaches_no_version_is_counted_for_none(
    slots: Slots, query: str, status: int, code: str
) -> None:
    world = World(slots)

    found, content, reply = await world.ask(query)

    assert (found, content["code"]) == (status, code)
    assert "X-Model-Version" not in reply.headers
    assert world.counts() == ((0, 0, 0), {})


async def test_a_version_that_is_not_here_is_asked_for(slots: Slots) -> None:
    world = World(slots)

    status, content, _ = await world.ask("version=v2")

    assert (status, content["model_version"]) == (200, "v2")
    assert world.wanted == [ModelVersion("default", "v2")]


async def test_before_anything_is_live_the_answer_is_to_wait(slots: Slots) -> None:
    world = World(slots)
    world.predictor.snapshot = Snapshot(0, {}, {})

    status, content, reply = await world.ask()

    assert (status, content["code"], reply.headers["Retry-After"]) == (503, "not_ready", "1")


async def test_a_request_keeps_its_version_open_through_a_switch(slots: Slots) -> None:
    go = asyncio.Event()

    async def later() -> Predictions:
        await go.wait()
        return Predictions([7])

    world = World(slots, later)
    asked = asyncio.ensure_future(world.ask())
    await asyncio.sleep(0)

    world.release.retire()
    assert not world.model.closed
    go.set()

    assert (await asked)[0] == 200
    assert world.model.closed


async def test_a_client_that_leaves_gives_its_lease_back(slots: Slots) -> None:
    world = World(slots, asyncio.Event().wait)
    asked = asyncio.ensure_future(world.ask())
    await asyncio.sleep(0)
    assert world.release.in_flight == 1

    asked.cancel()
    await asyncio.wait([asked])

    assert world.release.in_flight == 0


async def test_a_large_body_is_parsed_all_the_same(slots: Slots) -> None:
    world = World(slots)

    status, content, _ = await world.ask("", ROW + b" " * (1 << 18))

    assert (status, content["prediction"]) == (200, 7)
