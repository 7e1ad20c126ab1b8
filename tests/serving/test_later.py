import asyncio
import gc
import io
import weakref

import pytest

from modeld import log
from modeld.errors import ModelError
from modeld.http.wire import Predictions
from modeld.serving.later import Later
from tests.support.logs import log_restored

ANSWER = Predictions([7])


async def test_an_answer_is_told_at_once() -> None:
    later, told = Later(), []
    later.add_done_callback(lambda it: told.append(it.result()))
    assert not later.done()

    later.settle(ANSWER)

    assert told == [ANSWER]
    assert later.done()


async def test_a_failure_is_raised() -> None:
    later = Later()

    later.settle(ModelError("it raised"))

    with pytest.raises(ModelError, match="it raised"):
        later.result()


@pytest.mark.parametrize("is_known", [True, False])
async def test_a_task_can_wait_for_it(is_known: bool) -> None:
    later = Later()
    if is_known:
        later.settle(ANSWER)
    else:
        asyncio.get_running_loop().call_soon(later.settle, ANSWER)

    assert await later == ANSWER


async def test_whoever_asked_is_told_that_it_was_cancelled() -> None:
    later = Later()
    told: list[Later] = []
    later.add_done_callback(told.append)

    later.cancel()
    later.cancel()

    assert told == [later]
    with pytest.raises(asyncio.CancelledError):
        later.result()


async def test_a_task_that_is_cancelled_waits_no_more() -> None:
    later = Later()
    waiting = asyncio.ensure_future(later)
    await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
    assert later.done()


async def test_an_answer_that_comes_with_the_cancellation_harms_nobody() -> None:
    later = Later()
    waiting = asyncio.ensure_future(later)
    await asyncio.sleep(0)

    waiting.cancel()
    later.settle(ANSWER)
    await asyncio.wait([waiting])

    assert waiting.cancelled()


async def test_who_cannot_be_told_keeps_nobody_else_from_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log_restored(monkeypatch)
    stream = io.StringIO()
    log.configure("text", stream=stream)
    later = Later()

    def fail(_: Later) -> None:
        raise RuntimeError("a defect")

    later.add_done_callback(fail)

    later.settle(ANSWER)

    assert "a defect" in stream.getvalue()


async def test_nothing_is_left_for_the_collector_of_cycles() -> None:
    class Asker:
        def __init__(self) -> None:
            self.later = Later()
            self.later.add_done_callback(self.told)

        def told(self, _: Later) -> None:
            pass

    asker = Asker()
    gone = weakref.ref(asker)
    gc.disable()
    try:
        asker.later.settle(ANSWER)
        del asker
        assert gone() is None
    finally:
        gc.enable()
