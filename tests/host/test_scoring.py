"""Tables of every form, answered by real models in a real host."""

import json
import math
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modeld.domain import Artifact
from modeld.messages import (
    Clock,
    Clocked,
    Loaded,
    LoadRefused,
    Look,
    Looked,
    Message,
    Score,
    Scored,
    Scoring,
)
from tests.host.conftest import HostProcess, NurseryProcess
from tests.host.pickles import artifact_of, on_trigger, write_model
from tests.support.server import eventually

SECONDS = 30.0
RANDOM = np.random.default_rng(0)
ROWS = 400
FRAME = pd.DataFrame(
    {
        "id": [f"{number:04}" for number in range(ROWS)],
        "city": RANDOM.choice(["Rome", "Oslo", "NA"], ROWS),
        "age": RANDOM.normal(size=ROWS),
        "y": RANDOM.choice(["no", "yes"], ROWS),
    }
)
INPUTS = FRAME[["age", "city"]]

Save = Callable[[Path], None]
FORMS: dict[str, Save] = {
    "t.csv": lambda path: FRAME.to_csv(path, index=False),
    "t.parquet": FRAME.to_parquet,
    "t.json": lambda path: FRAME.to_json(path, orient="records", double_precision=15),
    "t.jsonl": lambda path: FRAME.to_json(path, orient="records", lines=True, double_precision=15),
}


def pickled(folder: Path, model: Any) -> Artifact:
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps(model))
    return artifact_of(path, "pickle")


def mixed() -> Any:
    """Two columns, of which one is texts; two classes that are texts."""
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["city"]), (StandardScaler(), ["age"])
    )
    return make_pipeline(columns, LogisticRegression()).fit(INPUTS, FRAME.y)


def ask(host: HostProcess, order: Message) -> tuple[list[Scoring], Message | None]:
    """Give what the host tells while it works, and its last word; `None` when it died."""
    told: list[Scoring] = []
    host.control.send(order)
    while (frame := host.control.receive()) is not None:
        if not isinstance(frame.message, Scoring):
            return told, frame.message
        told.append(frame.message)
    return told, None


def order(table: Path, target: Path, **more: Any) -> Score:
    plain = Score(str(table), str(target), "csv", "", False, 0, SECONDS)
    return replace(plain, **more)


def loaded(host: HostProcess, artifact: Artifact) -> None:
    answer = host.load(artifact)
    assert isinstance(answer, Loaded), answer


def scored(host: HostProcess, given: Score) -> Scored:
    _, answer = ask(host, given)
    assert isinstance(answer, Scored), answer
    return answer


def refused(host: HostProcess, given: Score) -> str:
    _, answer = ask(host, given)
    assert isinstance(answer, LoadRefused), answer
    return answer.message


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_table_is_answered_as_its_model_would(
    name: str, form: str, host: HostProcess, tmp_path: Path
) -> None:
    model = mixed()
    loaded(host, pickled(tmp_path, model))
    FORMS[name](tmp_path / name)
    target = tmp_path / f"answers.{form}"

    answer = scored(host, order(tmp_path / name, target, form=form, wants_probabilities=True))

    assert answer == Scored(ROWS, is_classes=True, is_text=True, has_losses=False)
    read: dict[str, Callable[[Path], pd.DataFrame]] = {
        "csv": lambda path: pd.read_csv(path, dtype={"id": str}, keep_default_na=False),
        "jsonl": lambda path: pd.read_json(path, lines=True, dtype={"id": str}),
        "parquet": pd.read_parquet,
    }
    found = read[form](target)
    np.testing.assert_allclose(found.age, FRAME.age, rtol=1e-12)
    assert found.id.tolist() == FRAME.id.tolist()
    assert found.city.tolist() == FRAME.city.tolist()
    assert found.prediction.tolist() == model.predict(INPUTS).tolist()
    scores = found[["probability_no", "probability_yes"]].to_numpy()
    np.testing.assert_allclose(scores, model.predict_proba(INPUTS), rtol=1e-9)


def test_numbers_that_are_missing_stay_missing(host: HostProcess, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, math.nan, 3.0] * 20, "b": [1.0, 2.0, 3.0] * 20})
    model = HistGradientBoostingRegressor(max_iter=2).fit(frame, frame.b)
    loaded(host, pickled(tmp_path, model))
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    targets = [tmp_path / name for name in ("a.csv", "a.jsonl", "a.parquet")]

    for table in ("t.csv", "t.parquet"):
        for target in targets:
            scored(host, order(tmp_path / table, target, form=target.suffix[1:]))
        found = (
            pd.read_csv(targets[0]),
            pd.read_json(targets[1], lines=True),
            pd.read_parquet(targets[2]),
        )

        assert json.loads(targets[1].read_text().splitlines()[1])["a"] is None
        for each in found:
            assert each.a.isna().tolist() == frame.a.isna().tolist()
            np.testing.assert_allclose(each.prediction, model.predict(frame))


def test_a_long_table_is_told_of_as_it_goes(host: HostProcess, tmp_path: Path) -> None:
    loaded(host, write_model(tmp_path))
    pd.DataFrame(RANDOM.normal(size=(20_000, 2))).to_csv(tmp_path / "t.csv", index=False)

    told, answer = ask(host, order(tmp_path / "t.csv", tmp_path / "answers"))

    assert isinstance(answer, Scored)
    assert [each.rows for each in told] == [8192, 16_384, 20_000]
    assert [each.share for each in told] == sorted(each.share for each in told)
    assert told[-1].share == 1.0


@pytest.mark.parametrize(("most", "rows"), [(0, 20_000), (10, 10), (8192, 8192), (9000, 9000)])
def test_at_most_so_many_rows_are_answered(
    most: int, rows: int, host: HostProcess, tmp_path: Path
) -> None:
    loaded(host, write_model(tmp_path))
    pd.DataFrame(RANDOM.normal(size=(20_000, 2))).to_parquet(tmp_path / "t.parquet")
    target = tmp_path / "answers"

    answer = scored(host, order(tmp_path / "t.parquet", target, most_rows=most))

    assert answer.rows == rows
    assert len(target.read_text().splitlines()) == rows + 1


@pytest.mark.parametrize("at", [1, 17, 8192, 8193, 9000])
def test_a_row_that_a_model_fails_on_is_named(at: int, host: HostProcess, tmp_path: Path) -> None:
    loaded(host, write_model(tmp_path, on_trigger("1 / 0")))
    rows = np.zeros((9000, 2))
    rows[at - 1 :, 0] = 666.0
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)

    message = refused(host, order(tmp_path / "t.csv", tmp_path / "answers"))

    assert message == f"t.csv: row {at}: ZeroDivisionError: division by zero"


def test_rows_that_fail_only_together_are_named(host: HostProcess, tmp_path: Path) -> None:
    loaded(host, write_model(tmp_path, "rows[:, 0] if len(rows) < 4 else 1 / 0"))
    pd.DataFrame(np.zeros((10, 2))).to_csv(tmp_path / "t.csv", index=False)

    message = refused(host, order(tmp_path / "t.csv", tmp_path / "answers"))

    assert message == "t.csv: rows 1 to 5: ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,c\n1,2,3\n", "t.csv: this version takes 2 columns by their places, and there are 3"),
        ("a,b\n1,x\n", "t.csv: row 1, column \"b\": expected a number, found 'x'"),
        ("a,b\n", "t.csv: it has no rows"),
        ("a,prediction\n1,2\n", 't.csv: the table has a column "prediction" already: rename it'),
        ("a,b\n1,2,3\n", "t.csv: line 2: expected 2 cells, found 3"),
    ],
)
def test_a_table_that_will_not_do_is_refused(
    text: str, message: str, host: HostProcess, tmp_path: Path
) -> None:
    loaded(host, write_model(tmp_path))
    (tmp_path / "t.csv").write_text(text)

    assert refused(host, order(tmp_path / "t.csv", tmp_path / "answers")).startswith(message)


def test_probabilities_of_a_model_that_has_none_are_refused(
    host: HostProcess, tmp_path: Path
) -> None:
    loaded(host, write_model(tmp_path))
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    given = order(tmp_path / "t.csv", tmp_path / "answers", wants_probabilities=True)

    assert refused(host, given) == "this version gives no probabilities"


def test_answers_that_cannot_be_written_are_said(host: HostProcess, tmp_path: Path) -> None:
    loaded(host, write_model(tmp_path))
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")

    message = refused(host, order(tmp_path / "t.csv", tmp_path / "absent" / "answers"))

    assert message == "the answers cannot be written: No such file or directory"


def test_a_model_that_hangs_is_ended(host: HostProcess, tmp_path: Path) -> None:
    loaded(host, write_model(tmp_path, on_trigger("__import__('time').sleep(60)")))
    (tmp_path / "t.csv").write_text("a,b\n666,2\n")

    told, answer = ask(host, order(tmp_path / "t.csv", tmp_path / "out", limit_seconds=0.2))

    assert (told, answer) == ([], None)


def test_several_answers_to_a_row_are_a_column_each(host: HostProcess, tmp_path: Path) -> None:
    loaded(host, write_model(tmp_path, "rows * 2"))
    (tmp_path / "t.csv").write_text("a,b\n1,2.5\n")

    scored(host, order(tmp_path / "t.csv", tmp_path / "answers"))

    assert (tmp_path / "answers").read_text() == "a,b,prediction_0,prediction_1\n1,2.5,2.0,5.0\n"


@pytest.mark.parametrize("dropped", [[], ["id"]])
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_column_that_the_model_drops_may_be_absent(
    form: str, dropped: list[str], host: HostProcess, tmp_path: Path
) -> None:
    columns = make_column_transformer((OneHotEncoder(), ["city"]), ("passthrough", ["age"]))
    model = make_pipeline(columns, LogisticRegression()).fit(FRAME[["id", "age", "city"]], FRAME.y)
    loaded(host, pickled(tmp_path, model))
    FRAME.drop(columns=dropped).to_csv(tmp_path / "t.csv", index=False)

    scored(host, order(tmp_path / "t.csv", tmp_path / "answers", form=form))
    _, looked = ask(host, Look(str(tmp_path / "t.csv"), (2,), "y", SECONDS))

    assert isinstance(looked, Looked)
    assert json.loads(looked.rows[0])["city"] == FRAME.city[1]
    if form == "jsonl":
        lines = (tmp_path / "answers").read_text().splitlines()
        found = [json.loads(line)["prediction"] for line in lines]
        assert found == model.predict(FRAME).tolist()


def arrays(path: Path) -> list[np.ndarray[Any, Any]]:
    with path.open("rb") as file:
        return [np.load(file, allow_pickle=False) for _ in iter(lambda: file.peek(1), b"")]


@pytest.mark.parametrize("name", FORMS)
def test_a_comparison_gets_answers_truths_and_losses(
    name: str, host: HostProcess, tmp_path: Path
) -> None:
    model = mixed()
    loaded(host, pickled(tmp_path, model))
    FORMS[name](tmp_path / name)
    target = tmp_path / "answers"

    answer = scored(
        host, order(tmp_path / name, target, form="arrays", truth="y", wants_probabilities=True)
    )

    assert answer == Scored(ROWS, is_classes=True, is_text=True, has_losses=True)
    predictions, truths, losses = arrays(target)
    assert predictions.tolist() == model.predict(INPUTS).tolist()
    assert truths.tolist() == FRAME.y.tolist()
    expected = log_loss(FRAME.y, model.predict_proba(INPUTS))
    assert losses.mean() == pytest.approx(expected)


def test_a_comparison_of_quantities_gets_numbers(host: HostProcess, tmp_path: Path) -> None:
    model = LinearRegression().fit(FRAME[["age"]], RANDOM.normal(size=ROWS))
    loaded(host, pickled(tmp_path, model))
    (tmp_path / "t.csv").write_text("y,age\n1,2\n3,4.5\n")
    target = tmp_path / "answers"

    answer = scored(
        host,
        order(tmp_path / "t.csv", target, form="arrays", truth="y", wants_probabilities=True),
    )

    assert answer == Scored(2, is_classes=False, is_text=False, has_losses=False)
    predictions, truths = arrays(target)
    assert truths.tolist() == [1.0, 3.0]
    assert len(predictions) == 2


def test_lone_rows_are_timed(host: HostProcess, tmp_path: Path) -> None:
    loaded(host, write_model(tmp_path, "(__import__('time').sleep(0.01), rows[:, 0])[1]"))
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n")
    scored(host, order(tmp_path / "t.csv", tmp_path / "answers"))

    _, answer = ask(host, Clock(5, SECONDS))

    assert isinstance(answer, Clocked)
    assert len(answer.seconds) == 5
    assert all(0.01 <= seconds < 1 for seconds in answer.seconds)


@pytest.mark.parametrize("name", FORMS)
def test_rows_are_shown_by_their_inputs(name: str, host: HostProcess, tmp_path: Path) -> None:
    loaded(host, pickled(tmp_path, mixed()))
    FORMS[name](tmp_path / name)

    _, answer = ask(host, Look(str(tmp_path / name), (1, 7, 400), "y", SECONDS))

    assert isinstance(answer, Looked)
    for found, at in zip(map(json.loads, answer.rows), (0, 6, 399), strict=True):
        assert found == {
            "age": pytest.approx(FRAME.age[at]),
            "city": FRAME.city[at],
        }


def test_a_host_whose_order_nobody_waits_for_any_more_ends(
    nursery: NurseryProcess, tmp_path: Path
) -> None:
    host = nursery.fork()
    marker = tmp_path / "began"
    slow = f"(open({str(marker)!r}, 'w').close(), __import__('time').sleep(60))"
    loaded(host, write_model(tmp_path, on_trigger(slow)))
    (tmp_path / "t.csv").write_text("a,b\n666,2\n")
    host.control.send(order(tmp_path / "t.csv", tmp_path / "answers"))
    eventually(marker.exists, "the model at work")

    host.close()

    assert os.WEXITSTATUS(nursery.exit_of(host)) == 1
