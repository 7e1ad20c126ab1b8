import asyncio
from typing import cast

from modeld.serving.outbox import Outbox, Outlet


class Wire:
    """What a transport did."""

    def __init__(self, log: list[bytes]) -> None:
        self.log = log

    def write(self, data: bytes) -> None:
        self.log.append(data)

    def close(self) -> None:
        self.log.append(b"close")

    def abort(self) -> None:
        self.log.append(b"abort")

    def get_extra_info(self, name: str) -> str:
        return f"the {name}"


def outlets(count: int) -> tuple[list[Outlet], list[bytes]]:
    log: list[bytes] = []
    outbox = Outbox()
    made = [
        Outlet(cast(asyncio.Transport, Wire(log)), outbox, lambda: log.append(b"flushed"))
        for _ in range(count)
    ]
    return made, log


async def test_what_is_written_in_a_turn_goes_at_its_end() -> None:
    (first, second), log = outlets(2)

    first.write(b"a")
    second.write(b"b")
    first.write(b"c")
    assert not log
    await asyncio.sleep(0)

    assert log == [b"ac", b"flushed", b"b", b"flushed"]


async def test_many_bytes_do_not_wait() -> None:
    (outlet,), log = outlets(1)

    outlet.write(b"a" * (1 << 17))

    assert log == [b"a" * (1 << 17), b"flushed"]


async def test_closing_writes_what_was_kept_first() -> None:
    (outlet,), log = outlets(1)

    outlet.write(b"a")
    outlet.close()
    outlet.write(b"b")
    await asyncio.sleep(0)

    assert log == [b"a", b"flushed", b"close"]


async def test_aborting_forgets_what_was_kept() -> None:
    (outlet,), log = outlets(1)

    outlet.write(b"a")
    outlet.abort()
    await asyncio.sleep(0)

    assert log == [b"abort"]


async def test_everything_else_is_the_transports() -> None:
    (outlet,), _ = outlets(1)

    assert outlet.as_transport().get_extra_info("peername") == "the peername"


async def test_the_only_connection_gets_its_last_answer_at_once() -> None:
    (outlet,), log = outlets(1)
    outlet._outbox.is_alone = True

    outlet.write_last(b"a")
    assert log == [b"a"]
    outlet.write(b"b")
    outlet.write_last(b"c")
    assert log == [b"a"]
    await asyncio.sleep(0)

    assert log == [b"a", b"bc", b"flushed"]


async def test_among_others_a_last_answer_waits_too() -> None:
    (outlet,), log = outlets(1)

    outlet.write_last(b"a")
    assert not log
    await asyncio.sleep(0)

    assert log == [b"a", b"flushed"]


async def test_nothing_is_written_to_what_has_closed() -> None:
    (outlet,), log = outlets(1)
    outlet._outbox.is_alone = True
    outlet.close()

    outlet.write_last(b"a")
    await asyncio.sleep(0)

    assert log == [b"close"]
