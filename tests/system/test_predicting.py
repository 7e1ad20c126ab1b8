"""`modeld predict` as people type it, on folders without a server."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from tests.support.server import Server, eventually, family_of, is_alive, make_server
from tests.support.terminals import Terminal
from tests.support.versions import write_model, write_onnx, write_pickle

TABLE = "a,b,c,d\n007,1,2,3\n-1,-2.50,-3,-4\n"
ANSWERS = "a,b,c,d,prediction\n007,1,2,3,13.0\n-1,-2.50,-3,-4,-10.5\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A repository without a server: all versions sum four columns."""
    server = make_server(tmp_path_factory.mktemp("predicting") / "repository", is_light=True)
    write_onnx(server.models / "churn" / "v7")
    (server.folder / "t.csv").write_text(TABLE)
    return server


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Where commands keep what is for a moment; nothing may be left there."""
    place = tmp_path / "scratch"
    place.mkdir()
    yield {"TMPDIR": str(place)}
    assert not list(place.iterdir())


def test_the_wished_version_answers_the_rows_in_their_order(
    folder: Server, scratch: dict[str, str]
) -> None:
    done = folder.command("predict", "t.csv", **scratch)

    assert (done.returncode, done.stdout) == (0, ANSWERS)
    assert done.stderr == "2 rows by v1, which state/active.yaml names\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--version", "v2"), "2 rows by v2\n"),
        (("--version", "churn@v7"), "2 rows by churn@v7\n"),
    ],
)
def test_another_version_answers_where_it_is_named(
    arguments: tuple[str, ...], said: str, folder: Server, scratch: dict[str, str]
) -> None:
    done = folder.command("predict", "t.csv", *arguments, **scratch)

    assert (done.stdout, done.stderr) == (ANSWERS, said)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("t.csv", "--version", "v9"), 1, "there is no version v9; found v1, v2"),
        (("absent.csv",), 1, "v1: absent.csv: No such file or directory"),
        (("t.csv", "--model", "churn"), 1, "names no version of the model churn: say --version"),
        (("t.csv", "--proba"), 1, "v1: this version gives no probabilities"),
        (("t.csv", "--version", "v1", "--at", "2026-01-01"), 64, "--at says which version it was"),
        (("t.csv", "--output", "t.xlsx"), 64, "expected a name in .csv, .jsonl, "),
        (("t.csv", "--at", "noon"), 64, 'expected a time like "2026-11-20 14:00"'),
        (("t.csv", "--at", "2001-01-01"), 1, "no server has run here"),
        (("t.csv", "--at", "2999-01-01"), 1, "2999-01-01 00:00:00 has not come yet"),
        (("t.csv", "--state", "absent.yaml"), 1, "absent.yaml is missing: say --version"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    arguments: tuple[str, ...], code: int, said: str, folder: Server, scratch: dict[str, str]
) -> None:
    done = folder.command("predict", *arguments, **scratch)

    assert done.returncode == code
    assert not done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert code == 64 or done.stderr.count("\n") == 1


def test_a_file_is_written_whole_or_not_at_all(folder: Server, scratch: dict[str, str]) -> None:
    output = folder.folder / "whole.csv"
    bad = folder.folder / "bad.csv"
    bad.write_text("a,b,c,d\n" + "1,2,3,4\n" * 20_000 + "1,x,3,4\n")

    first = folder.command("predict", "t.csv", "--output", "whole.csv", **scratch)
    second = folder.command("predict", "bad.csv", "--output", "whole.csv", **scratch)

    assert first.returncode == 0
    assert second.returncode == 1
    assert second.stderr == (
        'modeld: nothing is predicted: v1: bad.csv: row 20001, column "b": expected a number, '
        "found 'x'\n"
    )
    assert output.read_text() == ANSWERS
    assert not list(folder.folder.glob(".*tmp"))


def test_a_model_of_scikit_learn_answers_every_format(
    tmp_path: Path, scratch: dict[str, str]
) -> None:
    folder = make_server(tmp_path / "repository", versions=())
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 2)), columns=["a", "b"])
    model = LogisticRegression().fit(frame, np.where(frame.a + frame.b > 0, "yes", "no"))
    write_pickle(folder.models / "v1", model)
    frame.to_parquet(folder.folder / "t.parquet")

    done = folder.command(
        "predict", "t.parquet", "--output", "t.jsonl", "--proba", "--version", "v1", **scratch
    )

    found = pd.read_json(folder.folder / "t.jsonl", lines=True)
    assert done.stderr == "200 rows by v1\n"
    assert found.prediction.tolist() == model.predict(frame).tolist()
    np.testing.assert_allclose(found.probability_yes, model.predict_proba(frame)[:, 1])


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_who_interrupts_it_finds_no_file_and_no_process(signal_number: int, tmp_path: Path) -> None:
    folder = make_server(tmp_path / "repository", versions=())
    marker = folder.folder / "began"
    slow = f"(open({str(marker)!r}, 'w').close(), __import__('time').sleep(60))"
    write_model(
        folder.models / "v1",
        f"lambda self, rows: {slow} if len(rows) > 1 else rows[:, 0]",
        n_features_in_=4,
    )
    (folder.folder / "t.csv").write_text(TABLE)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "modeld", "predict", "t.csv", "--output", "out.csv"],
        cwd=folder.folder,
        env=os.environ | {"TMPDIR": str(scratch)},
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(marker.exists, "the model at work")
    family = family_of(process.pid)

    process.send_signal(signal_number)
    _, said = process.communicate(timeout=20)

    assert len(family) > 2
    eventually(lambda: not any(map(is_alive, family)), "no process left")
    if signal_number != signal.SIGKILL:
        assert (process.returncode, said) == (130, "\n")
        assert not list(scratch.iterdir())
        assert sorted(path.name for path in folder.folder.glob("*.*")) == [".git", "t.csv"]
    assert not (folder.folder / "out.csv").exists()


def test_a_terminal_shows_how_far_it_is(folder: Server) -> None:
    (folder.folder / "long.csv").write_text("a,b,c,d\n" + "1,2,3,4\n" * 50_000)
    terminal = Terminal(folder.folder, "predict", "long.csv", "--output", "long.jsonl")

    assert terminal.end() == 0
    seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.written)
    assert "predict with v1" in seen
    assert re.search(r"[0-9]+ % [0-9,]+ rows", seen)
    assert seen.rstrip().endswith("50,000 rows by v1, which state/active.yaml names")


def test_a_reader_that_has_seen_enough_is_no_failure(folder: Server) -> None:
    (folder.folder / "piped.csv").write_text("a,b,c,d\n" + "1,2,3,4\n" * 50_000)
    command = f"{sys.executable} -m modeld predict piped.csv | head -n 2; echo ${{PIPESTATUS[0]}}"

    done = subprocess.run(
        ["bash", "-c", command], cwd=folder.folder, capture_output=True, text=True, check=True
    )

    assert done.stdout == "a,b,c,d,prediction\n1,2,3,4,10.0\n0\n"
    assert done.stderr == "50,000 rows by v1, which state/active.yaml names\n"
