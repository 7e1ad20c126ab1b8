"""The queue of a release, against a host that the test plays."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from modeld.domain import ModelVersion, ReleaseSpec, Signature
from modeld.errors import (
    DeadlineExceeded,
    ModelCrashed,
    ModeldError,
    ModelError,
    ModelOutputInvalid,
    Overloaded,
)
from modeld.host.channel import Channel, connected_pair
from modeld.host.protocol import Frame
from modeld.http.wire import Predictions, Rows
from modeld.messages import Batch, BatchAnswer, Drain, Outcome, Values
from modeld.runtimes.model import pack
from modeld.serving.batcher import Batcher
from modeld.serving.later import Later
from modeld.slots import Slots, release_slot

SPEC = ReleaseSpec(
    id=1,
    version=ModelVersion("default", "v1"),
    digest="sha256:0",
    runtime="native",
    path="",
    hosts=(1,),
    signature=Signature(width=2, has_probabilities=True),
    row_seconds=0.001,
    slot=release_slot(0),
)
MAX_QUEUE = 4


class FakeHost:
    """Takes batches and gives the answers that a test chooses."""

    def __init__(self) -> None:
        self._ours, self.theirs = connected_pair()
        self.frames: list[Frame] = []
        self.has_ended = False
        self._told = asyncio.Event()
        self.channel = Channel(self._ours, self._on_frame, self._on_end)

    def _on_frame(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._told.set()

    def _on_end(self) -> None:
        self.has_ended = True
        self._told.set()

    async def ended(self) -> None:
        async with asyncio.timeout(10):
            while not self.has_ended:
                self._told.clear()
                await self._told.wait()

    async def batch(self, number: int = 1) -> tuple[Batch, Any]:
        """Wait for a batch; gives it with its rows."""
        async with asyncio.timeout(10):
            while len(self.frames) < number:
                self._told.clear()
                await self._told.wait()
        frame = self.frames[number - 1]
        assert isinstance(frame.message, Batch)
        if frame.message.shape[1:]:
            rows = np.frombuffer(frame.payload).reshape(frame.message.shape).tolist()
        else:
            rows = json.loads(bytes(frame.payload))
        return frame.message, rows

    def answer(self, batch: Batch, *parts: Any) -> None:
        """Answer with one part for the whole batch, or one for each of its requests."""
        outcomes, payload = [], b""
        for part in parts:
            outcome, data = self._outcome(part)
            outcomes.append(outcome)
            payload += data
        self.channel.send(BatchAnswer(batch.id, tuple(outcomes), 0.001), payload)

    def _outcome(self, part: Any) -> tuple[Outcome, bytes]:
        if isinstance(part, ModeldError):
            return Outcome(None, None, part.code, str(part)), b""
        if isinstance(part, tuple):
            values, data = pack(np.array(part[0]))
            scores, more = pack(np.array(part[1]))
            return Outcome(values, scores), data + more
        values, data = pack(np.array(part))
        return Outcome(values), data

    def die(self) -> None:
        self.channel.close()


@pytest.fixture
async def host() -> AsyncIterator[FakeHost]:
    host = FakeHost()
    yield host
    host.die()
    host.theirs.close()


def make(slots: Slots, spec: ReleaseSpec = SPEC, seconds: float = 30.0) -> Batcher:
    return Batcher(spec, slots, max_queue=MAX_QUEUE, timeout_seconds=seconds)


@pytest.fixture
async def batcher(slots: Slots, host: FakeHost) -> AsyncIterator[Batcher]:
    batcher = make(slots)
    batcher.attach(host.theirs, 1)
    yield batcher
    batcher.close()


def rows(*firsts: float, width: int = 2) -> Rows:
    values = np.zeros((len(firsts), width))
    values[:, 0] = firsts
    return Rows(values, len(firsts), is_single=False)


async def result(later: Later) -> list[Any]:
    async with asyncio.timeout(10):
        return (await later).values


async def failure(later: Later) -> Exception:
    with pytest.raises(ModeldError) as caught:
        await result(later)
    return caught.value


# Gathering


async def test_a_lone_request_does_not_wait_for_company(batcher: Batcher, host: FakeHost) -> None:
    asked = batcher.submit(rows(1), False)

    batch, sent = await host.batch()
    host.answer(batch, [10])

    assert (batch.segments, batch.shape, sent) == ((1,), (1, 2), [[1.0, 0.0]])
    assert await result(asked) == [10]


async def test_what_gathers_while_the_host_is_busy_is_the_next_batch(
    batcher: Batcher, host: FakeHost
) -> None:
    first = batcher.submit(rows(1), False)
    batch, _ = await host.batch()
    others = [batcher.submit(rows(2, 3), False), batcher.submit(rows(4), False)]

    host.answer(batch, [1])
    batch, sent = await host.batch(2)
    host.answer(batch, [20, 30, 40])

    assert batch.segments == (2, 1)
    assert [row[0] for row in sent] == [2, 3, 4]
    assert await result(first) == [1]
    assert [await result(other) for other in others] == [[20, 30], [40]]


async def test_probabilities_are_cut_as_predictions_are(batcher: Batcher, host: FakeHost) -> None:
    asked = [batcher.submit(rows(1), True), batcher.submit(rows(2, 3), True)]

    batch, _ = await host.batch()
    host.answer(batch, ([1, 2, 3], [[0.1, 0.9], [0.2, 0.8], [0.3, 0.7]]))

    assert batch.wants_probabilities
    assert await asked[0] == Predictions([1], [[0.1, 0.9]])
    assert await asked[1] == Predictions([2, 3], [[0.2, 0.8], [0.3, 0.7]])


@pytest.mark.parametrize(
    ("requests", "segments"),
    [
        pytest.param([(rows(1), False), (rows(2), True)], (1,), id="one wants probabilities"),
        pytest.param([(rows(1), False), (rows(2, width=3), False)], (1,), id="another width"),
        pytest.param([(rows(*range(500)), False), (rows(*range(13)), False)], (500,), id="large"),
        pytest.param([(rows(*range(500)), False), (rows(*range(12)), False)], (500, 12), id="full"),
        pytest.param([(rows(*range(900)), False), (rows(1), False)], (900,), id="above the limit"),
    ],
)
async def test_what_does_not_fit_together_goes_apart(
    batcher: Batcher, host: FakeHost, requests: list[tuple[Rows, bool]], segments: tuple[int, ...]
) -> None:
    asked = [batcher.submit(*request) for request in requests]

    batch, _ = await host.batch()

    assert batch.segments == segments
    for future in asked:
        future.cancel()


async def test_a_version_may_ask_not_to_be_batched(slots: Slots, host: FakeHost) -> None:
    batcher = make(slots, replace(SPEC, batching=False))
    batcher.attach(host.theirs, 1)
    asked = [batcher.submit(rows(n), False) for n in range(3)]

    for number in range(3):
        batch, sent = await host.batch(number + 1)
        assert batch.segments == (1,)
        host.answer(batch, [int(sent[0][0])])

    assert [await result(future) for future in asked] == [[0], [1], [2]]
    batcher.close()


async def test_texts_travel_as_json(slots: Slots, host: FakeHost) -> None:
    batcher = make(slots, replace(SPEC, signature=Signature(rank=0)))
    batcher.attach(host.theirs, 1)
    asked = [
        batcher.submit(Rows(["ä\0"], 1, True), False),
        batcher.submit(Rows(["b"], 1, True), False),
    ]

    batch, sent = await host.batch()
    host.answer(batch, ["x", "y"])

    assert (batch.shape, sent) == ((2,), ["ä\0", "b"])
    assert [await result(future) for future in asked] == [["x"], ["y"]]
    batcher.close()


async def test_a_request_that_nobody_waits_for_is_not_sent(
    batcher: Batcher, host: FakeHost
) -> None:
    first = batcher.submit(rows(1), False)
    batch, _ = await host.batch()
    gone, other = batcher.submit(rows(2), False), batcher.submit(rows(3), False)

    gone.cancel()
    host.answer(batch, [1])
    batch, sent = await host.batch(2)
    host.answer(batch, [3])

    assert [row[0] for row in sent] == [3]
    assert await result(first) == [1]
    assert await result(other) == [3]


async def test_a_client_that_leaves_hurts_nobody_in_its_batch(
    batcher: Batcher, host: FakeHost
) -> None:
    asked = [batcher.submit(rows(n), False) for n in range(3)]
    batch, _ = await host.batch()

    asked[1].cancel()
    host.answer(batch, [0, 1, 2])

    assert [await result(asked[0]), await result(asked[2])] == [[0], [2]]


async def test_batches_and_waits_are_counted(
    batcher: Batcher, host: FakeHost, slots: Slots
) -> None:
    asked = [batcher.submit(rows(1, 2), False), batcher.submit(rows(3), False)]

    batch, _ = await host.batch()
    host.answer(batch, [1, 2, 3])
    await asyncio.gather(*asked)

    assert slots.batches(SPEC.slot) == (1, 3)
    assert sum(slots.queue_histogram(SPEC.slot).counts) == 2


# Failures of one request


async def test_one_that_fails_does_not_fail_its_neighbours(
    batcher: Batcher, host: FakeHost
) -> None:
    asked = [batcher.submit(rows(n), False) for n in range(3)]

    batch, _ = await host.batch()
    host.answer(batch, [0], ModelError("row 1 is odd"), [2])

    assert await result(asked[0]) == [0]
    error = await failure(asked[1])
    assert isinstance(error, ModelError)
    assert str(error) == "row 1 is odd"
    assert await result(asked[2]) == [2]


NONSENSE = [
    pytest.param((Outcome(Values("f8", (1,), 8)),) * 2, bytes(8), id="an outcome too few"),
    pytest.param((Outcome(Values("f8", (3,), 24)),), bytes(16), id="bytes are missing"),
    pytest.param((Outcome(Values("f8", (2,), 16)),), bytes(16), id="a row is missing"),
    pytest.param((Outcome(Values("pickle", (3,), 3)),), b"N..", id="an unknown kind"),
    pytest.param((Outcome(Values("json", (3,), 3)),), b"[1,", id="no JSON"),
    pytest.param((Outcome(Values("json", (3,), 1)),), b"3", id="JSON that is no list"),
    pytest.param((Outcome(Values("json", (3,), 2)),), b"\xff\xfe", id="no text"),
    pytest.param((), b"", id="nothing"),
    pytest.param(
        (Outcome(Values("i8", (3,), 24), Values("i8", (1,), 8)),), bytes(32), id="few probabilities"
    ),
]


@pytest.mark.parametrize(("outcomes", "payload"), NONSENSE)
async def test_an_answer_that_makes_no_sense_fails_what_it_cannot_answer(
    batcher: Batcher, host: FakeHost, outcomes: tuple[Outcome, ...], payload: bytes
) -> None:
    """And nothing else: the next batch goes on."""
    asked = [batcher.submit(rows(n), False) for n in range(3)]

    batch, _ = await host.batch()
    host.channel.send(BatchAnswer(batch.id, outcomes, 0.0), payload)
    found = await asyncio.gather(*asked, return_exceptions=True)
    again = batcher.submit(rows(9), False)
    batch, _ = await host.batch(2)
    host.answer(batch, [9])

    assert any(isinstance(one, ModelOutputInvalid) for one in found)
    assert await result(again) == [9]


@pytest.mark.parametrize("message", [Drain(), BatchAnswer(99, (), 0.0)])
async def test_a_host_that_says_something_else_is_left(
    batcher: Batcher, host: FakeHost, message: Any
) -> None:
    asked = batcher.submit(rows(1), False)
    await host.batch()

    host.channel.send(message)
    await host.ended()
    other = FakeHost()
    batcher.attach(other.theirs, 1)
    batch, _ = await other.batch()
    other.answer(batch, [1])

    assert await result(asked) == [1]
    other.die()


# A host that dies


async def test_what_the_host_died_of_is_tried_once_more_alone(
    batcher: Batcher, host: FakeHost
) -> None:
    asked = [batcher.submit(rows(n), False) for n in range(3)]
    await host.batch()
    late = batcher.submit(rows(3), False)

    host.die()
    other = FakeHost()
    batcher.attach(other.theirs, 1)
    for number in range(4):
        batch, sent = await other.batch(number + 1)
        assert batch.segments == (1,)
        other.answer(batch, [int(sent[0][0])])

    assert [await result(future) for future in (*asked, late)] == [[0], [1], [2], [3]]
    other.die()


async def test_a_request_that_kills_two_hosts_is_given_up(batcher: Batcher, host: FakeHost) -> None:
    asked = [batcher.submit(rows(n), False) for n in range(2)]
    await host.batch()
    host.die()

    second = FakeHost()
    batcher.attach(second.theirs, 1)
    await second.batch()
    second.die()
    third = FakeHost()
    batcher.attach(third.theirs, 1)
    batch, _ = await third.batch()
    third.answer(batch, [1])

    assert isinstance(await failure(asked[0]), ModelCrashed)
    assert await result(asked[1]) == [1]
    third.die()


async def test_a_new_connection_replaces_one_that_still_works(
    batcher: Batcher, host: FakeHost
) -> None:
    asked = batcher.submit(rows(1), False)
    await host.batch()

    other = FakeHost()
    batcher.attach(other.theirs, 2, instead_of=1)
    batch, _ = await other.batch()
    other.answer(batch, [1])

    assert await result(asked) == [1]
    await host.ended()
    other.die()


async def test_requests_wait_while_there_is_no_host(slots: Slots, host: FakeHost) -> None:
    batcher = make(slots)
    asked = batcher.submit(rows(1), False)

    batcher.attach(host.theirs, 1)
    batch, _ = await host.batch()
    host.answer(batch, [1])

    assert await result(asked) == [1]
    batcher.close()


# Limits


async def test_a_full_queue_says_so(batcher: Batcher, host: FakeHost) -> None:
    asked = [batcher.submit(rows(0), False)]
    await host.batch()
    asked += [batcher.submit(rows(n), False) for n in range(MAX_QUEUE)]

    with pytest.raises(Overloaded, match="4 requests wait"):
        batcher.submit(rows(9), False)

    for future in asked:
        future.cancel()


@pytest.mark.parametrize("is_up", [True, False])
async def test_time_is_bounded_in_the_queue_and_in_the_host(
    slots: Slots, host: FakeHost, is_up: bool
) -> None:
    batcher = make(slots, seconds=0.03)
    if is_up:
        batcher.attach(host.theirs, 1)

    asked = [batcher.submit(rows(n), False) for n in range(2)]

    assert {type(await failure(future)) for future in asked} == {DeadlineExceeded}
    batcher.close()


async def test_requests_out_of_time_leave_the_queue(slots: Slots) -> None:
    """Otherwise those that nobody waits for would keep out those that somebody does."""
    batcher = make(slots, seconds=0.02)
    for future in [batcher.submit(rows(n), False) for n in range(MAX_QUEUE)]:
        await failure(future)

    asked = batcher.submit(rows(1), False)

    assert isinstance(await failure(asked), DeadlineExceeded)
    batcher.close()


async def test_an_answer_that_comes_too_late_is_dropped(slots: Slots, host: FakeHost) -> None:
    batcher = make(slots, seconds=0.02)
    batcher.attach(host.theirs, 1)
    late = batcher.submit(rows(1), False)
    batch, _ = await host.batch()
    await failure(late)

    host.answer(batch, [1])
    second = batcher.submit(rows(2), False)
    batch, sent = await host.batch(2)
    host.answer(batch, [2])

    assert [row[0] for row in sent] == [2]
    assert await result(second) == [2]
    batcher.close()


async def test_the_limit_travels_with_the_batch(batcher: Batcher, host: FakeHost) -> None:
    """The host ends itself when its model takes longer."""
    batcher.submit(rows(1), False).cancel()
    asked = batcher.submit(rows(2), False)

    batch, _ = await host.batch()

    assert batch.limit_seconds == 30.0
    asked.cancel()


async def test_leaving_a_host_closes_the_connection(batcher: Batcher, host: FakeHost) -> None:
    batcher.close()

    await host.ended()
    with pytest.raises(OSError, match="Bad file descriptor"):
        host.theirs.getsockname()


def test_the_pair_is_a_stream() -> None:
    ours, theirs = connected_pair()
    with ours, theirs:
        assert ours.type == socket.SOCK_STREAM


# Several hosts


@pytest.fixture
async def second(batcher: Batcher) -> AsyncIterator[FakeHost]:
    second = FakeHost()
    batcher.attach(second.theirs, 2)
    yield second
    second.die()


async def test_free_hosts_share_what_has_gathered(
    batcher: Batcher, host: FakeHost, second: FakeHost
) -> None:
    asked = [batcher.submit(rows(number), False) for number in range(1, 5)]

    first_batch, first_rows = await host.batch()
    second_batch, second_rows = await second.batch()
    host.answer(first_batch, [1, 2])
    second.answer(second_batch, [3, 4])

    assert [len(first_rows), len(second_rows)] == [2, 2]
    assert [await result(each) for each in asked] == [[1], [2], [3], [4]]


async def test_a_host_that_is_free_does_not_wait_for_another(
    batcher: Batcher, host: FakeHost, second: FakeHost
) -> None:
    slow = batcher.submit(rows(1), False)
    await host.batch()

    for number in range(1, 4):
        asked = batcher.submit(rows(1), False)
        batch, _ = await second.batch(number)
        second.answer(batch, [number])
        assert await result(asked) == [number]

    assert not slow.done()


async def test_what_a_dead_host_had_goes_to_another(
    batcher: Batcher, host: FakeHost, second: FakeHost
) -> None:
    asked = batcher.submit(rows(1), False)
    await host.batch()

    host.die()
    batch, _ = await second.batch()
    second.answer(batch, [7])

    assert await result(asked) == [7]


async def test_only_the_host_that_is_replaced_is_left(
    batcher: Batcher, host: FakeHost, second: FakeHost
) -> None:
    third = FakeHost()
    batcher.attach(third.theirs, 3, instead_of=1)

    await host.ended()
    assert not second.has_ended
    third.die()
