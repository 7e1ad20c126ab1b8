"""`modeld compare` as people type it, on real models and without a server."""

import contextlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tests.support.server import Server, make_server
from tests.support.terminals import Terminal
from tests.support.versions import write_pickle

ROWS = 1500
RANDOM = np.random.default_rng(0)
INPUTS = pd.DataFrame(
    {
        "city": RANDOM.choice(["Rome", "Oslo"], ROWS),
        **{f"x{number}": RANDOM.normal(size=ROWS) for number in range(3)},
    }
)
SCORE = INPUTS.x0 + (INPUTS.city == "Rome") + RANDOM.normal(size=ROWS) / 4
FRAME = INPUTS.assign(y=np.where(SCORE > 0.5, "yes", "no"), amount=SCORE)
MODELS = {
    # By the number alone, and by the text as well.
    "v1": LogisticRegression().fit(INPUTS[["x0"]], FRAME.y),
    "v2": make_pipeline(
        make_column_transformer((OneHotEncoder(), ["city"]), ("passthrough", ["x0"])),
        LogisticRegression(),
    ).fit(INPUTS, FRAME.y),
    # Takes values that are missing.
    "v3": HistGradientBoostingClassifier(max_iter=5).fit(INPUTS[["x0", "x1"]], FRAME.y),
    "price@v1": LinearRegression().fit(INPUTS[["x0"]], FRAME.amount),
    "price@v2": LinearRegression().fit(INPUTS[["x0", "x1"]] + 0.01, FRAME.amount),
}


USED = {"v1": ["x0"], "v2": ["city", "x0", "x1", "x2"]}
"""The columns that two of them were trained on."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Server:
    server = make_server(tmp_path_factory.mktemp("comparing") / "repository", versions=())
    for name, model in MODELS.items():
        write_pickle(server.models / name.replace("@", "/"), model)
    FRAME.to_csv(server.folder / "t.csv", index=False)
    FRAME.to_parquet(server.folder / "t.parquet")
    return server


def compared(folder: Server, *arguments: str) -> Any:
    done = folder.command("compare", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_classes_are_compared(name: str, folder: Server) -> None:
    found = compared(folder, "v1", "v2", "--data", name, "--target", "y")

    answers = [MODELS[version].predict(INPUTS[columns]) for version, columns in USED.items()]
    scores = [MODELS[version].predict_proba(INPUTS[columns]) for version, columns in USED.items()]
    measures = {each["name"]: each for each in found["measures"]}
    for side, answer, score in zip(("first", "second"), answers, scores, strict=True):
        for measure, expected in (
            ("accuracy", accuracy_score(FRAME.y, answer)),
            ("f1_macro", f1_score(FRAME.y, answer, average="macro")),
            ("log_loss", log_loss(FRAME.y, score)),
        ):
            interval = measures[measure][side]
            assert interval["value"] == pytest.approx(expected)
            assert interval["low"] < expected < interval["high"]
            assert measures[measure]["second_is"] == "better"
    assert found["rows"] == ROWS
    assert found["agreement"]["share"] == pytest.approx((answers[0] == answers[1]).mean())
    points = r"\d+\.\d"
    verdict = rf"v2 is better: accuracy \+{points} points \({points} to {points}\)"
    assert re.fullmatch(verdict, found["verdict"])
    first = found["differences"][0]
    at = first["row"] - 1
    assert at == int(np.argmax(answers[0] != answers[1]))
    assert (first["first"], first["second"]) == (answers[0][at], answers[1][at])
    assert first["truth"] == FRAME.y[at]
    assert first["inputs"]["city"] == FRAME.city[at]
    assert first["inputs"]["x0"] == pytest.approx(FRAME.x0[at])
    for side in ("first", "second"):
        latency = found["latency"][side]
        assert 0 < latency["p50_ms"] <= latency["p99_ms"]
        assert latency["rows"] >= 75


def test_quantities_are_compared(folder: Server) -> None:
    found = compared(folder, "price@v1", "price@v2", "--data", "t.csv", "--target", "amount")

    assert [each["name"] for each in found["measures"]] == ["mae", "rmse", "r2"]
    assert found["agreement"]["mean_distance"] > 0
    assert found["verdict"].startswith("no difference that 1,500 rows can show: MAE ")


def test_rows_with_gaps_are_compared_where_both_take_them(folder: Server) -> None:
    gaps = FRAME.assign(x0=FRAME.x0.where(FRAME.x1 < 0))
    gaps.to_csv(folder.folder / "gaps.csv", index=False)

    taken = compared(folder, "v3", "v3", "--data", "gaps.csv", "--target", "y")
    refused = folder.command("compare", "v3", "v1", "--data", "gaps.csv", "--target", "y")

    assert taken["verdict"] == "no difference: v3 and v3 answer the same on all 1,500 rows"
    assert refused.returncode == 1
    assert re.fullmatch(
        r'modeld: not compared: v1: gaps\.csv: row \d+, column "x0": a value is missing, which '
        r"this version does not take there\n",
        refused.stderr,
    )


def test_it_is_written_for_a_person_and_for_a_review(folder: Server) -> None:
    """Without a target there is agreement, and how long a row takes."""
    arguments = ("compare", "v1", "v2", "--data", "t.csv", "--limit", "100")

    text = folder.command(*arguments).stdout
    review = folder.command(*arguments, "--target", "y", "--markdown").stdout

    assert re.match(r"v1 and v2 agree on \d+\.\d% of 100 rows; which of them is right", text)
    assert re.search(r"^p99 +[0-9.]+ ms +[0-9.]+ ms$", text, re.MULTILINE)
    assert "Where they differ, the first 10 of " in text
    assert "city=" in text
    assert review.startswith("## v1 and v2 on t&#46;csv\n")
    assert "\n|  | v1 | v2 | difference |  |\n|---|---|---|---|---|\n| accuracy | " in review


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("v1", "price@v1", "--data", "t.csv"), "v1 answers texts and price@v1 quantities: "),
        (("v1", "v2", "--data", "t.csv", "--target", "why"), 'the column "why" is missing'),
        (("v1", "v2", "--data", "t.csv", "--target", "city"), "is it the right column?"),
        (("v1", "v9", "--data", "t.csv"), "there is no version v9"),
        (("v1", "v2", "--data", "absent.csv"), "absent.csv: No such file or directory"),
    ],
)
def test_what_cannot_be_compared_is_said_in_a_line(
    arguments: tuple[str, ...], said: str, folder: Server
) -> None:
    done = folder.command("compare", *arguments)

    assert done.returncode == 1
    assert said in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


def test_a_terminal_shows_how_far_it_is(folder: Server) -> None:
    terminal = Terminal(folder.folder, "compare", "v1", "v2", "--data", "t.csv")

    assert terminal.end() == 0
    assert "compare v1 and v2" in terminal.written


def has_ended(process: "subprocess.Popen[bytes]") -> bool:
    """Wait a little for the end."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.1)
    return process.returncode is not None


def peak_bytes(folder: Path, *arguments: str) -> int:
    """Run a command; gives the most memory that one of its processes had of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "modeld", *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    family, peak = psutil.Process(process.pid), 0
    while not has_ended(process):
        for member in (family, *family.children(recursive=True)):
            try:
                peak = max(peak, member.memory_full_info().uss)
            except psutil.NoSuchProcess:
                continue
    assert process.returncode == 0
    return peak


def test_a_long_table_takes_no_more_memory_than_a_part_of_it(folder: Server) -> None:
    rows = pd.concat([FRAME.assign(x1=FRAME.x2 * number) for number in range(67)])
    rows.iloc[:10_000].to_csv(folder.folder / "short.csv", index=False)
    rows.to_csv(folder.folder / "long.csv", index=False)

    short, long = (
        peak_bytes(folder.folder, "compare", "v1", "v2", "--data", name, "--target", "y")
        for name in ("short.csv", "long.csv")
    )

    assert len(rows) > 100_000
    assert long - short < 20 << 20
