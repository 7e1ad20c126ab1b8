"""What was live when, and why, is told in order, with commits and without."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server import Server, cared_for, eventually, make_server
from tests.support.versions import write_model, write_samples

HOSTILE = "\x1b[31mred\x07 é 🚀 'quoted' \"twice\" [bold]markup[/bold]"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a story: committed, rolled back by a call, reverted, refused."""
    with cared_for(
        make_server(tmp_path_factory.mktemp("history") / "repository", is_light=True)
    ) as server:
        write_samples(write_model(server.models / "wrong"), [[1, 2]], [4])
        server.start()
        server.wait_until_live("v1")
        _tell(server)
        yield server


def _tell(server: Server) -> None:
    commit(server, "active: v2\n", "Serve v2\n\nReviewed-by: Ann <ann@example.org>")
    server.wait_until_live("v2")
    answer = server.admin("rollback", {"reason": HOSTILE, "actor": "ann"})
    assert answer.status == 200, answer.body
    server.git("commit", "-qam", "Keep the rollback")
    commit(server, "active: wrong\n", f"Try {HOSTILE}")
    eventually(lambda: len(entries(server)) == 4, "the refusal written down")
    server.git("revert", "--no-edit", "HEAD")
    eventually(lambda: server.status()["sync"]["status"] == "Synced", "the file applied again")


def commit(server: Server, text: str, message: str) -> None:
    server.write_state(text)
    server.git("commit", "-qam", message)


def history(server: Server, query: str = "") -> Any:
    answer = server.get(f"/admin/history{query}")
    assert answer.status == 200, answer.body
    return answer.json


def entries(server: Server) -> list[dict[str, Any]]:
    return [each for each in history(server)["entries"] if each["number"]]


def test_the_story_is_told_newest_first(told: Server) -> None:
    found = entries(told)

    assert [(e["version"], e["previous"], e["trigger"], e["result"]) for e in found] == [
        ("wrong", "v1", "file", "SamplesDiffer"),
        ("v1", "v2", "rollback", "applied"),
        ("v2", "v1", "file", "applied"),
        ("v1", None, "start", "applied"),
    ]
    assert (found[1]["actor"], found[1]["reason"]) == ("ann", HOSTILE)
    assert "wrong" in found[0]["reason"]
    assert all(0 < entry["seconds"] < 60 for entry in found)


def test_each_entry_has_the_commit_that_asked_for_it(told: Server) -> None:
    found = entries(told)

    assert [entry["git"]["subject"] for entry in found] == [
        f"Try {HOSTILE}",
        "Keep the rollback",
        "Serve v2",
        "First state",
    ]
    assert found[2]["git"]["trailers"] == [["Reviewed-by", "Ann <ann@example.org>"]]
    assert found[2]["git"]["author"] == "Test <test@example.org>"
    assert found[2]["git"]["commit"] == told.git("rev-parse", "HEAD~3")


def test_a_commit_that_switched_nothing_is_told_too(told: Server) -> None:
    alone = [each for each in history(told)["entries"] if not each["number"]]

    assert [(each["result"], each["git"]["subject"][:10]) for each in alone] == [
        ("no switch here", 'Revert "Tr')
    ]


def test_pages_make_up_the_whole(told: Server) -> None:
    whole = history(told)["entries"]
    shown: list[Any] = []
    cursor = ""

    while cursor is not None:
        part = history(told, f"?limit=2&cursor={cursor}")
        shown += part["entries"]
        cursor = part["next"]

    assert shown == whole
    assert len(whole) == 5


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=1001", "limit=-1", "cursor=nowhere"]
)
def test_a_page_that_there_cannot_be_is_refused(told: Server, query: str) -> None:
    answer = told.get(f"/admin/history?{query}")

    assert (answer.status, answer.json["code"]) == (422, "invalid_parameter")


def test_another_model_has_a_history_of_its_own(told: Server) -> None:
    assert history(told, "?model=churn") == {"entries": [], "next": None}
    assert len(history(told, "?model=default")["entries"]) == 4


def test_the_table_keeps_control_characters_from_the_terminal(told: Server) -> None:
    done = told.command("history", COLUMNS="400")

    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "\x07" not in done.stdout
    assert "\\x1b[31mred\\x07 é 🚀" in done.stdout
    assert "[bold]markup[/bold]" in done.stdout
    assert done.stderr == "(from the running server)\n"


def test_json_keeps_every_word_as_it_was(told: Server) -> None:
    document = json.loads(told.command("history", "--json", "--limit", "3").stdout)

    assert document["source"] == "the running server"
    assert HOSTILE in [entry["reason"] for entry in document["entries"]]


def test_the_history_is_whole_while_the_server_runs(told: Server) -> None:
    done = told.command("audit", "verify")

    last = done.stdout.split()[-1]
    assert done.returncode == 0
    assert done.stdout.startswith("4 entries, whole; the last hash is ")
    assert told.command("audit", "verify", "--expect", last).returncode == 0
    missing = told.command("audit", "verify", "--expect", "0" * 64)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "cut off" in missing.stderr


@pytest.fixture
def ended(tmp_path: Path) -> Iterator[Server]:
    """A server that has run and ended, with two entries."""
    with cared_for(make_server(tmp_path / "repository")) as server:
        server.start()
        server.wait_until_live("v1")
        commit(server, "active: v2\n", "Serve v2")
        server.wait_until_live("v2")
        server.stop()
        yield server


def test_without_a_server_the_files_are_read(ended: Server) -> None:
    document = json.loads(ended.command("history", "--json").stdout)

    assert [(e["version"], e["git"]["subject"]) for e in document["entries"]] == [
        ("v2", "Serve v2"),
        ("v1", "First state"),
    ]
    assert document["source"].startswith("the files in ")


def test_an_entry_that_was_changed_is_named(ended: Server) -> None:
    with sqlite3.connect(ended.runtime / "modeld.sqlite") as database:
        database.execute("DROP TRIGGER history_keeps_UPDATE")
        database.execute("UPDATE history SET actor = 'nobody' WHERE number = 2")
    database.close()

    done = ended.command("audit", "verify", "--json")

    assert done.returncode == 1
    assert json.loads(done.stdout)["first_broken"] == 2


def test_a_restart_with_the_same_refused_text_adds_nothing(ended: Server) -> None:
    ended.write_state("active: v9\n")
    ended.start()
    eventually(lambda: len(entries(ended)) == 3, "the refusal written down")
    ended.stop()

    ended.start()
    eventually(lambda: ended.status()["sync"]["status"] == "OutOfSync", "refused again")

    assert [entry["version"] for entry in entries(ended)] == ["v9", "v2", "v1"]
