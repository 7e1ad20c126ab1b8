"""Tiny models, made once."""

from pathlib import Path

import pytest

from tests.transformers.tiny import write_tiny


@pytest.fixture(scope="session", autouse=True)
def _needs_torch() -> None:
    pytest.importorskip("torch", reason="run `make transformers`: it installs torch")
    pytest.importorskip("transformers")


LABELS = {0: "bad", 1: "good"}


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "classifier", id2label=LABELS)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "encoder", "BertModel")
