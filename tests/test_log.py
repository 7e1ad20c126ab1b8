"""The log: one line for each event, whatever happens to values and to stderr."""

import io
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pytest

from modeld import log
from tests.support.logs import log_restored


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no trace in what is set up for the whole process."""
    log_restored(monkeypatch)


def write(log_format: str, act: Callable[[], object]) -> str:
    stream = io.StringIO()
    log.configure(log_format, stream=stream)
    act()
    return stream.getvalue()


def written_text(**values: object) -> str:
    line = write("text", lambda: log.get_logger().info("state.applied", **values))
    assert re.match(r"\d\d:\d\d:\d\d info state\.applied", line)
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    return line[:-1].removeprefix(line[:8] + " info state.applied").lstrip()


def written_json(**values: object) -> dict[str, object]:
    line = write("json", lambda: log.get_logger().info("state.applied", **values))
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    found = json.loads(line, parse_constant=pytest.fail)
    assert isinstance(found, dict)
    return found


class Stubborn:
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ab12", "ab12"),
        ("churn@v3", "churn@v3"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', r'"say \"hi\""'),
        ("a\nb", r'"a\nb"'),
        ("a\r\x1b[31m", r'"a\r\u001b[31m"'),
        ("\x7f\x85\u2028", r'"\x7f\x85\u2028"'),
        ("\udcff", r'"\udcff"'),
        ("café", "café"),
        (0.25, "0.25"),
        (float("nan"), "nan"),
        (3, "3"),
        (True, "true"),
        (None, "null"),
        (("v1", "v 2"), '["v1","v 2"]'),
        (Path("/models/v1"), "/models/v1"),
        (Stubborn(), "<Stubborn>"),
    ],
)
def test_text_shows_a_value_on_one_line(value: object, text: str) -> None:
    assert written_text(value=value) == f"value={text}"


def test_a_text_line_keeps_the_order_of_the_values() -> None:
    assert written_text(blob="ab12", active="v3", seconds=0.5) == "blob=ab12 active=v3 seconds=0.5"


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("a\nb\x7f\u2028", "a\nb\x7f\u2028"),
        ("\udcff", "\udcff"),
        (float("inf"), "inf"),
        (1 << 70, hex(1 << 70)),
        ({1: {"a": {2}}}, {"1": {"a": [2]}}),
        (b"x", "b'x'"),
        (Stubborn(), "<Stubborn>"),
    ],
)
def test_json_can_be_read_back(value: object, read: object) -> None:
    assert written_json(value=value)["value"] == read


def test_a_json_line_starts_with_time_level_and_event() -> None:
    found = written_json(active="v3")

    assert list(found) == ["timestamp", "level", "event", "active"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", str(found["timestamp"]))
    assert (found["level"], found["event"]) == ("info", "state.applied")


def test_a_value_that_holds_itself_ends() -> None:
    loop: list[object] = []
    loop.append(loop)

    assert "…" in str(written_json(value=loop)["value"])


@pytest.mark.parametrize(
    ("key", "is_hidden"),
    [
        ("token", True),
        ("admin_token", True),
        ("Authorization", True),
        ("X-Admin-Token", True),
        ("password", True),
        ("tokenizer", False),
        ("author", False),
    ],
)
@pytest.mark.parametrize("is_nested", [True, False])
def test_secrets_are_hidden(key: str, is_hidden: bool, is_nested: bool) -> None:
    values: dict[str, object] = {"headers": [{key: "hunter2"}]} if is_nested else {key: "hunter2"}

    for line in (written_text(**values), json.dumps(written_json(**values))):
        assert ("hunter2" not in line) is is_hidden
        assert (log.HIDDEN in line) is is_hidden


def test_before_it_is_set_up_events_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    log.get_logger().warning("guard.tripped", by=0.01)

    assert capsys.readouterr().err.endswith(" warning guard.tripped by=0.01\n")


def test_where_it_is_quiet_warnings_and_errors_alone_are_written() -> None:
    stream = io.StringIO()
    log.configure("text", stream=stream, is_quiet=True)

    log.get_logger().info("detail")
    log.get_logger().warning("guard.tripped")
    log.get_logger().error("load.failed", exc_info=ValueError("no"))

    words = [line.split()[1:3] for line in stream.getvalue().splitlines()]
    assert words == [["warning", "guard.tripped"], ["error", "load.failed"]]
    assert "ValueError: no" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_traceback_stays_on_the_line(log_format: str) -> None:
    def act() -> None:
        try:
            raise ValueError("a\nb")
        except ValueError:
            log.get_logger().exception("load.failed")

    line = write(log_format, act)

    assert line.count("\n") == 1
    assert "ValueError" in line


# What libraries log


def test_what_libraries_log_becomes_an_event() -> None:
    line = write("text", lambda: logging.getLogger("aiohttp.server").error("Bad\n%s", "news"))

    assert line.endswith(r' error aiohttp.server message="Bad\nnews"' + "\n")


def test_a_library_that_logs_badly_loses_only_the_figures() -> None:
    logging.getLogger().handlers.clear()  # pytest's own would raise
    badly = ("%d of %d", "x")

    line = write("text", lambda: logging.getLogger("asyncio").warning(*badly))

    assert line.endswith(' warning asyncio message="%d of %d"\n')


def test_the_chatter_of_libraries_is_left_out() -> None:
    assert write("text", lambda: logging.getLogger("aiohttp.access").info("GET /")) == ""


def test_configuring_twice_writes_once() -> None:
    log.configure("json", stream=io.StringIO())

    assert write("text", lambda: logging.getLogger("asyncio").error("x")).count("\n") == 1


# A stream that cannot be written


def test_a_stream_without_a_reader_does_not_raise() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        log.configure("text", stream=stream)

        log.get_logger().info("state.applied")


def test_a_closed_stream_does_not_raise() -> None:
    with io.StringIO() as text, Path(os.devnull).open("w") as file:
        streams = (text, file)

    for stream in streams:
        log.configure("text", stream=stream)

        log.get_logger().info("state.applied")


def test_no_stderr_at_all_does_not_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    log.configure("text")

    log.get_logger().info("state.applied")


def fill(stream: TextIO) -> int:
    """Log until long after the pipe is full; give the seconds of the slowest line."""
    log.configure("json", stream=stream)
    slowest = 0.0
    for number in range(100):
        start = time.perf_counter()
        log.get_logger().info("state.applied", number=number, filler="x" * 10_000)
        slowest = max(slowest, time.perf_counter() - start)
    return int(slowest)


def test_a_stuck_reader_costs_lines_which_are_counted() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, os.fdopen(reader, "rb", 0) as read:
        assert fill(stream) == 0
        before = read.read(1 << 20)

        log.get_logger().info("state.applied", number=100)
        first, *after = [json.loads(line) for line in read.read(1 << 20).split()]

    whole = [line for line in before.split(b"\n") if line.endswith(b"}")]
    assert first["number"] == 100
    assert [(one["event"], one["lines"]) for one in after] == [("log.lines_lost", 100 - len(whole))]


def test_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    program = (
        "from modeld import log; log.configure('json')\n"
        "for number in range(200): log.get_logger().info('tick', number=number, filler='x' * 300)"
    )
    with (tmp_path / "log").open("ab") as file:
        children = [
            subprocess.Popen([sys.executable, "-c", program], stderr=file) for _ in range(3)
        ]
        for child in children:
            assert child.wait(30) == 0

    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 600
    assert {json.loads(line)["event"] for line in lines} == {"tick"}


def test_a_worker_can_log_without_pydantic() -> None:
    program = "import sys, modeld.log; sys.exit('pydantic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# What is kept


def test_the_newest_events_are_kept_without_secrets_and_in_their_order() -> None:
    log.configure("json", stream=io.StringIO(), keeps=2)

    for number in range(3):
        log.get_logger().info("worker.started", pid=number, token="correct-horse")

    assert [event["pid"] for event in log.kept()] == [1, 2]
    newest = log.kept()[-1]
    assert newest.pop("at")
    assert newest == {
        "event": "worker.started", "level": "info",
        "pid": 2, "token": log.HIDDEN,
    }  # fmt: skip


def test_what_is_kept_does_not_grow_with_what_others_write() -> None:
    log.configure("text", stream=io.StringIO(), keeps=5)

    log.get_logger().warning("load.failed", error="x" * 100_000)

    assert len(str(log.kept()[0]["error"])) < 3000


def test_what_tells_of_kept_events_is_not_kept_again() -> None:
    log.configure("text", stream=io.StringIO(), keeps=5)

    log.get_logger().info(f"{log.RETOLD}decision", what={})

    assert log.kept() == []


def test_nothing_is_kept_unless_it_is_asked_for() -> None:
    write("text", lambda: log.get_logger().info("state.applied"))

    assert log.kept() == []
