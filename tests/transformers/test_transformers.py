"""Hugging Face models, in an environment that has torch: `make transformers`."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modeld.domain import Artifact, ModelVersion
from modeld.errors import LoadFailed
from modeld.runtimes.formats import detect
from modeld.runtimes.transformers import TransformersModel, open_transformers
from tests.support.server import ROOT, Server
from tests.support.versions import write_samples
from tests.transformers.tiny import write_tiny

pytestmark = [pytest.mark.transformers, pytest.mark.light]

TEXTS = ["good film", "a bad film " * 40, "film", "[UNK]", ""]


def opened(folder: Path, device: str = "auto") -> TransformersModel:
    names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    kind, path = detect(folder, names)
    version = ModelVersion("default", "v1")
    return open_transformers(Artifact(version, kind, str(path), "", 1, False, device=device))


def test_a_classifier_gives_its_labels_and_probabilities(classifier: Path) -> None:
    model = opened(classifier)

    scores = model.probabilities(TEXTS)

    assert model.signature.classes == ("bad", "good")
    assert scores.sum(axis=1) == pytest.approx(np.ones(len(TEXTS)))
    assert list(model.predict(TEXTS)) == [("bad", "good")[i] for i in scores.argmax(axis=1)]


def test_an_encoder_gives_a_vector_for_each_text(encoder: Path) -> None:
    """The mean over its own tokens: the padding of longer company does not count."""
    model = opened(encoder)

    together = model.predict(TEXTS)

    assert together.shape == (len(TEXTS), 16)
    for text, vector in zip(TEXTS, together, strict=True):
        assert model.predict([text])[0] == pytest.approx(vector, abs=1e-5)


def test_sentence_transformers_say_how_tokens_become_one(encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sentences"
    shutil.copytree(encoder, folder)
    modules = [{"type": "…models.Transformer"}, {"type": "…models.Normalize"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    ways = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(ways))

    vectors = opened(folder).predict(TEXTS)

    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)))
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(LoadFailed, match="mean or cls are served"):
        opened(folder)


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        ({"num_labels": 1}, (5, 1)),
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, (5, 3)),
    ],
)
def test_other_heads(tmp_path: Path, config: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = opened(write_tiny(tmp_path / "head", **config))

    assert model.predict(TEXTS).shape == shape


def rewrite(name: str, **more: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text()) | more
        (folder / name).write_text(json.dumps(content))

    return change


def cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])


def drop_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (rewrite("config.json", auto_map={"AutoModel": "evil.Model"}), "code of its own"),
        (rewrite("config.json", architectures=["BertForQuestionAnswering"]), "are served"),
        (rewrite("config.json", architectures=None), "config.json says none"),
        (rewrite("config.json", hidden_size=32), "transformers cannot open it"),
        (rewrite("config.json", model_type="no-such"), "transformers cannot open it"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (drop_tokenizer, "no tokenizer"),
        (cut, "transformers cannot open it"),
    ],
)
def test_what_is_not_whole_or_runs_code_is_refused(
    classifier: Path, tmp_path: Path, change: Callable[[Path], object], says: str
) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(classifier, folder)
    change(folder)

    with pytest.raises(LoadFailed, match=says):
        opened(folder)


def test_weights_that_are_missing_are_not_made_up(encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "headless"
    shutil.copytree(encoder, folder)
    rewrite("config.json", architectures=["BertForSequenceClassification"])(folder)

    with pytest.raises(LoadFailed, match=r"the weights lack classifier\.bias"):
        opened(folder)


def test_a_device_that_is_not_there_is_said(classifier: Path) -> None:
    import torch

    if torch.cuda.is_available():
        assert opened(classifier, "cuda").predict(TEXTS).shape == (len(TEXTS),)
    else:
        with pytest.raises(LoadFailed, match="device: cuda, and there is none here"):
            opened(classifier, "cuda")
    assert opened(classifier, "cpu").predict(TEXTS).shape == (len(TEXTS),)


def test_a_server_serves_them_by_the_rules_for_texts(
    repository: Server, classifier: Path, encoder: Path
) -> None:
    shutil.copytree(classifier, repository.models / "c1")
    label = str(opened(classifier).predict(["good film"])[0])
    write_samples(repository.models / "c1", ["good film"], [label])
    shutil.copytree(encoder, repository.models / "e1")
    (repository.models / "e1" / "model.yaml").write_text("format: transformers\ndevice: cpu\n")
    repository.write_state("active: c1\nalso: [e1]\n")
    repository.start(MODELD_TRUST="safe")
    repository.wait_until_live("c1")

    one = repository.predict({"features": "good film"}, "?proba=true")
    many = repository.predict({"instances": TEXTS})
    vectors = repository.predict({"features": TEXTS[:2]}, "?version=e1")
    wrong = repository.predict({"features": ["good film", 3]})

    assert (one.status, one.json["prediction"], one.json["classes"]) == (
        200,
        label,
        ["bad", "good"],
    )
    assert one.headers["X-Model-Runtime"] == "transformers"
    assert many.json["predictions"] == list(opened(classifier).predict(TEXTS))
    assert [len(vector) for vector in vectors.json["predictions"]] == [16, 16]
    assert (wrong.status, wrong.json["code"]) == (422, "wrong_type")
    assert "row 2: expected a text" in wrong.json["error"]


def test_the_example_adds_a_version_that_answers(repository: Server) -> None:
    script = ROOT / "examples" / "hugging_face.py"
    done = subprocess.run(
        [sys.executable, script], cwd=repository.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    repository.start()
    repository.wait_until_live("v1")

    answer = repository.predict({"features": "a good film"}, "?version=v3&proba=true").json

    assert answer["prediction"] in {"bad", "good"}
    assert sum(answer["probabilities"]) == pytest.approx(1)
