"""Telling receivers: over real HTTP, in the background, and with nothing secret in the log."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import ClientSession, ClientTimeout, web

from modeld import log
from modeld.control.ledger import Entry, Ledger
from modeld.control.notices import Notice
from modeld.control.notifying import Notifying, Post
from modeld.control.receivers import Message, Receiver
from tests.serving.test_connection import until
from tests.support.logs import log_restored

SECRET = "correct-horse-battery"
MESSAGE = Message(
    Notice("rollback", 1, "default", "v1", "v2", ""), "Serving v1.", "", "host", "http://x/ui", ""
)


@dataclass
class Inbox:
    """A receiver: answers what it is told to, and keeps what came."""

    statuses: list[int] = field(default_factory=list)
    delay: float = 0.0
    bodies: list[Any] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.BaseRequest) -> web.Response:
        self.bodies.append(await request.json())
        await asyncio.sleep(self.delay)
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    @property
    def receiver(self) -> Receiver:
        return Receiver("json", "127.0.0.1", self.url)


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    inbox = Inbox()
    runner = web.ServerRunner(web.Server(inbox.take), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    inbox.url = f"http://127.0.0.1:{runner.addresses[0][1]}/{SECRET}?token={SECRET}"
    yield inbox
    await runner.cleanup()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    log_restored(monkeypatch)
    log.configure("text", stream=stream)
    return stream


async def deliver(receiver: Receiver, *, tries: int = 3, seconds: float = 5.0) -> None:
    async with ClientSession(timeout=ClientTimeout(total=seconds)) as session:
        post = Post(receiver, session, [0.01] * (tries - 1))
        post.put(MESSAGE)
        task = asyncio.create_task(post.run())
        async with asyncio.timeout(10):
            await post.letters.join()
        task.cancel()


async def test_a_message_arrives_once(inbox: Inbox, lines: io.StringIO) -> None:
    await deliver(inbox.receiver)

    assert [body["summary"] for body in inbox.bodies] == ["Serving v1."]
    assert lines.getvalue() == ""


async def test_what_may_pass_is_tried_again(inbox: Inbox, lines: io.StringIO) -> None:
    inbox.statuses = [503, 429]

    await deliver(inbox.receiver)

    assert len(inbox.bodies) == 3
    assert lines.getvalue() == ""


@pytest.mark.parametrize(("status", "tries"), [(500, 3), (404, 1), (302, 1)])
async def test_what_cannot_be_delivered_is_logged_once_without_the_address(
    inbox: Inbox, lines: io.StringIO, status: int, tries: int
) -> None:
    inbox.statuses = [status] * 9

    await deliver(inbox.receiver)

    assert len(inbox.bodies) == tries
    assert lines.getvalue().count("notify.not_delivered") == 1
    assert f"answered {status}" in lines.getvalue()
    assert SECRET not in lines.getvalue()


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:1/{SECRET}",
        f"https://{SECRET}.invalid/{SECRET}",
        f"http://127.0.0.1:abc/{SECRET}",
    ],
)
async def test_nobody_there_is_logged_without_the_address(lines: io.StringIO, url: str) -> None:
    await deliver(Receiver("json", "host", url), tries=2)

    assert "notify.not_delivered host=host" in lines.getvalue()
    assert SECRET not in lines.getvalue()


async def test_a_receiver_that_never_answers_is_given_up(inbox: Inbox, lines: io.StringIO) -> None:
    inbox.delay = 30.0

    await deliver(inbox.receiver, tries=2, seconds=0.1)

    assert "why=TimeoutError" in lines.getvalue()


async def test_a_receiver_that_is_down_does_not_gather_messages_without_end(
    inbox: Inbox, lines: io.StringIO
) -> None:
    async with ClientSession() as session:
        post = Post(inbox.receiver, session)

        for _ in range(30):
            post.put(MESSAGE)

    assert post.letters.qsize() == 20
    assert lines.getvalue().count("notify.dropped") == 10


class World:
    """What the notifier looks at."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.changed_once = asyncio.Event()
        self.progress: Any = SimpleNamespace(
            changed=self._changed, applied=SimpleNamespace(fallback=""), condition=None,
            refusal=None, generation=1, observed_at=time.time(), desired=None,
        )  # fmt: skip

    async def _changed(self) -> None:
        await self.changed_once.wait()
        self.changed_once.clear()

    def roll_back(self, reason: str) -> None:
        entry = Entry(0, 1.0, "default", "v1", "v2", "", "rollback", "anna", reason, 1, "")
        self.ledger.record(entry)
        self.changed_once.set()

    def notifying(self, *receivers: Receiver) -> Notifying:
        return Notifying(
            receivers, cast("Any", self.progress), self.ledger,
            lambda: {"summary": "Serving v1.", "next": ""}, lambda: {"default": "v1"}, "http://x/ui",
        )  # fmt: skip


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(Ledger(tmp_path / "modeld.sqlite")) as ledger:
        yield World(ledger)


async def until_told(inbox: Inbox, count: int) -> None:
    await until(lambda: len(inbox.bodies) >= count)


async def begun(notifying: Notifying) -> "asyncio.Task[None]":
    task = asyncio.create_task(notifying.run())
    await until(lambda: notifying._newest is not None)
    return task


async def test_only_what_happens_from_now_on_is_told_and_each_time_once(
    inbox: Inbox, world: World, lines: io.StringIO
) -> None:
    world.roll_back("long ago")
    task = await begun(world.notifying(inbox.receiver))

    world.roll_back("p99 4x")
    await until_told(inbox, 1)
    world.changed_once.set()
    world.roll_back("again")
    await until_told(inbox, 2)
    task.cancel()

    assert [body["reason"] for body in inbox.bodies] == ["p99 4x", "again"]
    assert SECRET not in lines.getvalue()


async def test_a_receiver_that_fails_costs_the_others_nothing(
    inbox: Inbox, world: World, lines: io.StringIO
) -> None:
    nobody = Receiver("json", "nobody", "http://127.0.0.1:1/")
    task = await begun(world.notifying(nobody, inbox.receiver))

    world.roll_back("p99 4x")
    await until_told(inbox, 1)
    task.cancel()


async def test_an_end_waits_a_second_at_most_for_what_is_on_its_way(
    inbox: Inbox, world: World, lines: io.StringIO
) -> None:
    inbox.delay = 30.0
    task = await begun(world.notifying(inbox.receiver))
    world.roll_back("p99 4x")
    await until_told(inbox, 1)

    began = time.monotonic()
    task.cancel()
    await asyncio.wait([task])

    assert time.monotonic() - began < 3.0


async def test_a_look_that_fails_does_not_end_the_looking(
    inbox: Inbox, world: World, lines: io.StringIO
) -> None:
    del world.progress.condition
    task = await begun(world.notifying(inbox.receiver))
    world.roll_back("p99 4x")
    await until(lambda: "notify.failed" in lines.getvalue())

    world.progress.condition = None
    world.changed_once.set()
    await until_told(inbox, 1)
    task.cancel()


async def test_without_receivers_there_is_nothing_to_do(world: World) -> None:
    async with asyncio.timeout(1):
        await world.notifying().run()
