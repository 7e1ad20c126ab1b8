"""The status as it is drawn at a terminal."""

import io
from typing import Any

from rich.console import Console

from modeld.cli.status_view import absence_view, status_view

DOCUMENT: dict[str, Any] = {
    "summary": "Serving v1 since 02:14. It asks for v2, which was rolled back.",
    "next": "modeld unhold v2",
    "generation": 7,
    "sync": {"status": "Held", "reason": "VersionHeld"},
    "health": {"status": "Healthy", "reason": "Serving"},
    "models": {
        "default": {
            "desired": "v2", "active": "v1", "since": "2026-01-31T02:14:05.120Z",
            "rollback_target": None,
            "loaded": [{"version": "v1", "runtime": "compiled", "runs": "in the workers"}],
        },
        "churn": {
            "desired": "c1", "active": None, "since": None, "rollback_target": None, "loaded": [],
        },
    },
    "live": {"warnings": []},
    "holds": [{}],
    "processes": {"workers": [{"serves": True}, {"serves": False}]},
    "instance": "vm-1",
}  # fmt: skip


def drawn(view: Any, *, is_coloured: bool = False, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, force_terminal=is_coloured, width=width, highlight=False).print(view)
    return stream.getvalue()


def test_the_sentence_comes_first_then_what_to_do_then_each_model() -> None:
    lines = drawn(status_view(DOCUMENT, bullet="*")).splitlines()

    assert lines[0] == f"* {DOCUMENT['summary']}"
    assert lines[1] == "  Next: modeld unhold v2"
    assert lines[4].split()[:3] == ["default", "v1", "v2"]
    assert "compiled, in the workers" in lines[4]
    assert lines[5].split() == ["churn", "-", "c1", "-", "-", "-"]
    assert lines[-1] == "Healthy | Held (VersionHeld) | generation 7 | 1 worker | 1 held | vm-1"


def test_warnings_stand_below_what_to_do() -> None:
    warned = {**DOCUMENT, "live": {"warnings": ["v1: made with scikit-learn 1.5.2"]}}

    lines = drawn(status_view(warned, bullet="*")).splitlines()

    assert lines[2] == "  Note: v1: made with scikit-learn 1.5.2"


def test_words_of_others_move_no_cursor() -> None:
    hostile = {**DOCUMENT, "summary": "\x1b[2J[bold]gone", "next": "\x1b]0;x\x07"}

    text = drawn(status_view(hostile, bullet="*"))

    assert "\x1b" not in text
    assert "\\x1b[2J[bold]gone" in text


def test_a_narrow_terminal_loses_nothing_of_the_sentence() -> None:
    words = drawn(status_view(DOCUMENT, bullet="*"), width=30).split()

    assert " ".join(words).startswith(f"* {DOCUMENT['summary']} Next: modeld unhold v2")


def test_no_server_is_said_with_where_it_was_looked_for() -> None:
    text = drawn(absence_view("no server runs here (looked in /x)", bullet="*"))

    assert text == "* No server answers.\n  no server runs here (looked in /x)\n"
