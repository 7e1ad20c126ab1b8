import asyncio
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeld.domain import ModelVersion, ReleaseSpec, Signature, WorkerSettings
from modeld.errors import (
    DeadlineExceeded,
    LoadFailed,
    ModeldError,
    ModelError,
    ModelOutputInvalid,
    OutOfRange,
    Overloaded,
)
from modeld.http.wire import Predictions, Rows
from modeld.serving.inplace import InPlaceModel
from modeld.serving.later import Later
from modeld.serving.snapshot import (
    EMPTY,
    HostedModel,
    Opener,
    Release,
    Snapshot,
)
from modeld.slots import Slots, release_slot
from tests.runtimes import onnx_files

SETTINGS = WorkerSettings(
    slot=0,
    max_body=1 << 20,
    max_rows=100,
    max_queue=2,
    max_connections=10,
    keepalive=75,
    request_timeout=10,
    load_timeout=10,
    drain_delay=0,
    drain_timeout=1,
)
SPEC = ReleaseSpec(
    id=1,
    version=ModelVersion("default", "v1"),
    digest="sha256:0",
    runtime="onnx",
    path="",
    hosts=(),
    signature=Signature(width=2),
    row_seconds=0.00001,
    slot=release_slot(0),
)
ONE = Rows(np.array([[1.0, 2.0]]), 1, is_single=True)


class Fake:
    """A model that does what a test says."""

    signature = Signature(width=2)

    def __init__(self, predict: Callable[[Any], Any]) -> None:
        self.predict = predict

    def probabilities(self, rows: Any) -> Any:
        return np.tile([0.25, 0.75], (len(rows), 1))


def raise_it(error: Exception) -> Callable[[Any], Any]:
    def predict(_rows: Any) -> Any:
        raise error

    return predict


def in_place(predict: Callable[[Any], Any], row_seconds: float = 0.00001) -> InPlaceModel:
    return InPlaceModel(replace(SPEC, row_seconds=row_seconds), Fake(predict), SETTINGS)


async def answer(model: InPlaceModel, rows: Rows = ONE, proba: bool = False) -> Predictions:
    found = model.predict(rows, proba)
    async with asyncio.timeout(10):
        return found if isinstance(found, Predictions) else await found


# In place


@pytest.mark.parametrize(
    ("row_seconds", "count", "is_on_loop"),
    [(0.0002, 1, True), (0.00021, 1, False), (0.00001, 20, True), (0.00001, 21, False)],
)
async def test_only_quick_work_is_done_on_the_loop(
    row_seconds: float, count: int, is_on_loop: bool
) -> None:
    threads: list[threading.Thread] = []

    def predict(rows: Any) -> Any:
        threads.append(threading.current_thread())
        return rows[:, 0]

    model = in_place(predict, row_seconds)

    found = await answer(model, Rows(np.ones((count, 2)), count, is_single=False))

    assert found == Predictions([1.0] * count)
    assert (threads == [threading.main_thread()]) is is_on_loop
    model.close()


async def test_probabilities_are_given_where_they_are_asked_for() -> None:
    model = in_place(lambda rows: rows[:, 0])

    assert await answer(model, proba=True) == Predictions([1.0], [[0.25, 0.75]])
    model.close()


@pytest.mark.parametrize("row_seconds", [0.0, 0.001], ids=["on the loop", "in the thread"])
@pytest.mark.parametrize(
    ("predict", "error"),
    [
        (raise_it(RuntimeError("a graph met something")), ModelError),
        (raise_it(OutOfRange("too large")), OutOfRange),
        (lambda rows: rows[:, 0] * np.nan, ModelOutputInvalid),
        (lambda _: [1, 2, 3], ModelOutputInvalid),
        (lambda _: None, ModelOutputInvalid),
    ],
)
async def test_whatever_a_model_does_is_an_error_of_ours(
    predict: Callable[[Any], Any], error: type[ModeldError], row_seconds: float
) -> None:
    model = in_place(predict, row_seconds)

    with pytest.raises(error):
        await answer(model)
    model.close()


async def test_one_that_is_busy_refuses_what_exceeds_its_queue() -> None:
    go = threading.Event()
    model = in_place(lambda rows: go.wait(10) and rows[:, 0], 0.001)
    asked = [asyncio.ensure_future(answer(model)) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    with pytest.raises(Overloaded, match="2 requests wait for v1"):
        await answer(model)

    go.set()
    assert await asyncio.gather(*asked) == [Predictions([1.0])] * 2
    assert await answer(model) == Predictions([1.0])
    model.close()


async def test_time_in_the_thread_is_bounded() -> None:
    go = threading.Event()
    model = InPlaceModel(
        replace(SPEC, row_seconds=1.0),
        Fake(lambda rows: go.wait(10) and rows[:, 0]),
        replace(SETTINGS, request_timeout=0.02),
    )

    with pytest.raises(DeadlineExceeded):
        await answer(model)

    go.set()
    model.close()


# Releases and snapshots


class Closing:
    """A model of which only its end matters."""

    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def release_of(name: str = "v1") -> tuple[Release, Closing]:
    model: Any = Closing()
    return Release(replace(SPEC, version=ModelVersion("default", name)), model), model


def test_a_release_names_what_answered() -> None:
    release, _ = release_of("v7")

    assert release.headers == {"X-Model-Version": "v7", "X-Model-Runtime": "onnx"}


def test_an_idle_release_closes_at_once() -> None:
    release, model = release_of()

    release.enter()
    release.leave()
    assert model.closed == 0
    release.retire()

    assert model.closed == 1


def test_a_retired_release_closes_with_its_last_request() -> None:
    release, model = release_of()
    release.enter()
    release.enter()

    release.retire()
    release.leave()
    assert model.closed == 0
    release.leave()

    assert model.closed == 1


def test_a_switch_retires_what_the_next_snapshot_lacks() -> None:
    (first, one), (second, other) = release_of("v1"), release_of("v2")
    both = Snapshot(1, {"default": first}, {first.spec.version: first, second.spec.version: second})
    rest = Snapshot(2, {"default": second}, {second.spec.version: second})

    both.retire_all_but(rest)

    assert (one.closed, other.closed) == (1, 0)


def test_a_version_that_was_loaded_again_is_another_release() -> None:
    (old, closed), (new, open_) = release_of("v1"), release_of("v1")
    before = Snapshot(1, {"default": old}, {old.spec.version: old})

    before.retire_all_but(Snapshot(2, {"default": new}, {new.spec.version: new}))

    assert (closed.closed, open_.closed) == (1, 0)


def test_the_first_snapshot_is_empty() -> None:
    EMPTY.retire_all_but(EMPTY)

    assert not EMPTY.live
    assert not EMPTY.releases


# Hosted


async def test_a_hosted_model_leaves_its_host_when_it_closes(slots: Slots) -> None:
    ours, theirs = socket.socketpair()
    model = HostedModel(replace(SPEC, hosts=(1,)), slots, SETTINGS)
    model.attach(ours, 1)

    model.close()

    with theirs:
        theirs.settimeout(10)
        assert theirs.recv(1) == b""


# Opening


@pytest.fixture
async def opener() -> Opener:
    return Opener()


async def test_a_session_is_opened_by_path(opener: Opener, tmp_path: Path) -> None:
    path = onnx_files.save(tmp_path / "m.onnx", onnx_files.regression())

    model = await opener.open(path)

    assert model.predict(np.array([[1.0, 2.0]])).tolist() == [[3.0]]


async def test_what_cannot_be_opened_is_told(opener: Opener, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"nonsense")

    with pytest.raises(LoadFailed):
        await opener.open(str(path))


async def test_opening_yields_to_everybody_else(opener: Opener, tmp_path: Path) -> None:
    """Only the thread that opens is slow: the worker's own pace stays."""
    path = onnx_files.save(tmp_path / "m.onnx", onnx_files.regression())
    before = os.getpriority(os.PRIO_PROCESS, 0)

    await opener.open(path)

    niceness = {
        thread.name: os.getpriority(os.PRIO_PROCESS, thread.native_id or 0)
        for thread in threading.enumerate()
    }
    assert next(nice for name, nice in niceness.items() if name.startswith("opener")) == 19
    assert os.getpriority(os.PRIO_PROCESS, threading.main_thread().native_id or 0) == before


# Rows in company


def compiled_model(predict: Callable[[Any], Any], **changes: Any) -> InPlaceModel:
    spec = replace(SPEC, row_seconds=0.00001, runtime="compiled", **changes)
    return InPlaceModel(spec, Fake(predict), SETTINGS)


def lone(value: float, *, is_kept: bool = False) -> Rows:
    return Rows([[value]] if is_kept else np.array([[value]]), 1, True)


async def test_rows_of_one_turn_share_a_call(slots: Slots) -> None:
    calls: list[int] = []

    def doubled(rows: Any) -> Any:
        calls.append(len(rows))
        return rows[:, 0] * 2

    model = compiled_model(doubled)

    answers = [model.predict(lone(value, is_kept=value % 3 > 0), False) for value in range(70)]
    found = [each if isinstance(each, Predictions) else await each for each in answers]

    assert [each.values for each in found] == [[value * 2.0] for value in range(70)]
    assert calls == [1, 64, 5]


async def test_a_first_row_waits_for_company_only_where_the_turn_before_had_some() -> None:
    model = compiled_model(lambda rows: rows[:, 0])

    async def turn(count: int) -> list[bool]:
        answers = [model.predict(lone(value), False) for value in range(count)]
        waits = [isinstance(each, Later) for each in answers]
        found = [each if isinstance(each, Predictions) else await each for each in answers]
        await asyncio.sleep(0)
        assert [each.values for each in found] == [[float(value)] for value in range(count)]
        return waits

    assert await turn(1) == [False]
    assert await turn(1) == [False]
    assert await turn(2) == [False, True]
    assert await turn(2) == [True, True]
    assert await turn(1) == [True]
    assert await turn(1) == [False]


async def test_a_row_that_spoils_a_call_spoils_its_own_answer_alone(slots: Slots) -> None:
    model = compiled_model(lambda rows: np.where(rows[:, 0] == 3, np.nan, rows[:, 0]))

    answers = [model.predict(lone(value, is_kept=True), False) for value in range(5)]
    found = await asyncio.gather(
        *(each for each in answers if isinstance(each, Later)), return_exceptions=True
    )

    assert [each.values for each in found if isinstance(each, Predictions)] == [[1.0], [2.0], [4.0]]
    assert isinstance(found[2], ModelOutputInvalid)


async def test_a_slow_model_takes_a_row_that_was_kept_a_list(slots: Slots) -> None:
    model = InPlaceModel(
        replace(SPEC, row_seconds=0.001, runtime="compiled"),
        Fake(lambda rows: rows[:, 1]),
        SETTINGS,
    )

    assert await answer(model, Rows([[1, 2.5]], 1, True), proba=True) == Predictions(
        [2.5], [[0.25, 0.75]]
    )
    model.close()


async def test_a_client_that_left_takes_nothing_from_the_others(slots: Slots) -> None:
    model = compiled_model(lambda rows: rows[:, 0])

    answers = [model.predict(lone(value), False) for value in range(4)]
    laters = [each for each in answers if isinstance(each, Later)]
    laters[1].cancel()

    assert (await laters[0]).values == [1.0]
    assert (await laters[2]).values == [3.0]


@pytest.mark.parametrize("changes", [{"batching": False}, {"runtime": "onnx"}])
async def test_only_rows_proven_not_to_mind_share_a_call(slots: Slots, changes: Any) -> None:
    spec = replace(SPEC, row_seconds=0.00001, **{"runtime": "compiled", **changes})
    model = InPlaceModel(spec, Fake(lambda rows: rows[:, 0]), SETTINGS)

    answers = [model.predict(lone(value), False) for value in range(3)]

    assert all(isinstance(each, Predictions) for each in answers)
