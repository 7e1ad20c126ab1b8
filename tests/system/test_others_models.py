"""Serve models that others have trained and published, as they come out of their packages."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest
from magika import Magika
from sklearn.pipeline import make_pipeline

from tests.support.server import ROOT, Server, cared_for, make_server

EDGE = 1024
"""magika looks at so many bytes of a file's beginning, and at as many of its end."""


def folder_of(package: str) -> Path:
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


MAGIKA = folder_of("magika") / "models" / "standard_v3_3"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with both, each taken in by `modeld add`."""
    folder = tmp_path_factory.mktemp("others")
    with cared_for(make_server(folder / "repository", ("v1",), is_light=True)) as server:
        added = server.command("add", str(MAGIKA / "model.onnx"), "magika")
        assert added.returncode == 0, added.stderr
        data = folder_of("profanity_check") / "data"
        parts = [joblib.load(data / f"{name}.joblib") for name in ("vectorizer", "model")]
        joblib.dump(make_pipeline(*parts), folder / "profanity.joblib")
        added = server.command("add", str(folder / "profanity.joblib"), "profanity")
        assert added.returncode == 0, added.stderr
        server.start()
        server.wait_until_live("v1")
        yield server


@pytest.mark.parametrize("name", ["README.md", "pyproject.toml", "tests/conftest.py", "Makefile"])
def test_a_detector_of_file_types_names_them_as_its_package_does(
    running: Server, name: str
) -> None:
    text = (ROOT / name).read_bytes().strip()
    content = text * (4 * EDGE // len(text) + 1)
    row = [*content[:EDGE], *content[-EDGE:]]

    answer = running.predict({"features": row}, "?version=magika")

    scores = answer.json["prediction"]
    labels = json.loads((MAGIKA / "config.min.json").read_text())["target_labels_space"]
    said = Magika().identify_bytes(content).prediction
    assert answer.headers["X-Model-Runtime"] == "onnx"
    assert labels[scores.index(max(scores))] == said.dl.label
    assert max(scores) == pytest.approx(said.score, abs=1e-4)


@pytest.mark.parametrize(
    ("text", "expected"), [("have a nice day", 0), ("you complete idiot, shut up", 1)]
)
def test_a_classifier_of_texts_is_served_as_texts(
    running: Server, text: str, expected: int
) -> None:
    one = running.predict({"features": text}, "?version=profanity&proba=true").json
    many = running.predict({"features": [text, text]}, "?version=profanity").json

    assert one["prediction"] == expected
    assert one["probabilities"][expected] > 0.5
    assert many["predictions"] == [expected, expected]
