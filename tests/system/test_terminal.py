"""The commands at a real terminal, and what they write when there is none."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server, cared_for, eventually, make_server
from tests.support.terminals import Terminal

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-7](?:;[0-9]+)*m")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("terminal") / "repository"
    with cared_for(make_server(folder, is_light=True)) as server:
        server.start()
        server.wait_until_live("v1")
        yield server


def seen(terminal: Terminal) -> str:
    """Everything that was written, without what colours it or moves the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.written)


@pytest.mark.parametrize("verb", ["status", "versions", "history"])
def test_a_terminal_gets_colour_unless_it_wants_none(running: Server, verb: str) -> None:
    coloured = Terminal(running.folder, verb)
    plain = Terminal(running.folder, verb, NO_COLOR="1")

    assert (coloured.end(), plain.end()) == (0, 0)
    assert COLOUR.search(coloured.written) or verb == "history"
    assert not COLOUR.search(plain.written)
    assert "v1" in seen(coloured)


def test_a_terminal_gets_the_sentence_and_the_models(running: Server) -> None:
    terminal = Terminal(running.folder, "status")

    assert terminal.end() == 0
    lines = seen(terminal).splitlines()
    assert re.fullmatch(r"● Serving v1 since \d\d:\d\d\.", lines[0])
    assert any(line.split()[:3] == ["default", "v1", "v1"] for line in lines)


def test_watching_follows_the_server_through_its_end_and_its_return(tmp_path: Path) -> None:
    with cared_for(make_server(tmp_path / "repository", is_light=True)) as server:
        terminal = Terminal(server.folder, "status", "--watch")
        terminal.read_until(lambda text: "No server answers." in text, "no server yet")
        server.start()
        terminal.read_until(lambda text: "Serving v1 since" in text, "v1")
        server.write_state("active: v2\n")
        terminal.read_until(lambda text: "Serving v2 since" in text, "v2")
        server.kill()
        terminal.read_until(lambda text: "No server answers." in text, "no server any more")
        server.start()
        terminal.read_until(lambda text: "Serving v2 since" in text, "v2 again")

        terminal.interrupt()

        assert terminal.end() == 0
        assert terminal.written.endswith("\x1b[?25h")
        assert "Traceback" not in terminal.written


def test_watching_into_a_pipe_writes_a_line_for_each_change(running: Server) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "modeld", "status", "--watch"],
        cwd=running.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.stdout.close()
        running.write_state("active: v2\n")
        eventually(lambda: process.poll() is not None, "the end with its reader")

        assert re.fullmatch(r"Serving v1 since \d\d:\d\d\.\n", first)
        assert process.returncode == 0
        assert process.stderr.read() == ""


def test_watching_is_for_people(running: Server) -> None:
    assert running.command("status", "--watch", "--json").returncode == 64


def test_the_page_has_an_address(running: Server) -> None:
    done = running.command("open", PATH="/nowhere")

    assert done.returncode == 0
    assert done.stdout == f"http://127.0.0.1:{running.port}/ui\n"
    assert "no browser could be opened" in done.stderr


def test_no_phone_reaches_a_loopback_address(running: Server) -> None:
    done = running.command("open", "--qr")

    assert done.returncode == 1
    assert "no phone can reach it" in done.stderr


def test_a_phone_gets_a_code_of_the_public_address(running: Server) -> None:
    done = running.command("open", "--qr", MODELD_PUBLIC_URL="https://models.example.org")

    first, *code = done.stdout.splitlines()
    assert done.returncode == 0
    assert first == "https://models.example.org/ui"
    assert len(code) > 15
    assert set("".join(code)) <= set("█▀▄ ")


def test_without_a_server_there_is_nothing_to_open(tmp_path: Path) -> None:
    server = make_server(tmp_path / "repository", versions=())

    done = server.command("open")

    assert done.returncode == 2
    assert "start one: modeld serve" in done.stderr


def test_the_badge_comes_through_a_worker_to_anybody(running: Server) -> None:
    answer = running.get("/badge.svg", Host="models.example.org")

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("image/svg+xml")
    assert b">v" in answer.body
