"""What is written is read again as it was meant, whatever the texts look like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.domain import InputColumn, Scalar
from modeld.repository.manifest import FileEntry, Manifest, Trained, parse_manifest
from modeld.repository.writing import manifest_text

FILE = FileEntry("model.joblib", 12, "0e1" + "0" * 61)
TEXTS = ["no", "1.10", "1e5", "null", "~", "", " é\n\t", "🌷", "\u2028", "\x7f", "- a", "#", "*a"]


def read(manifest: Manifest) -> Manifest:
    return parse_manifest("v1", manifest_text(manifest).encode())


def test_everything_comes_back() -> None:
    manifest = Manifest(
        format="joblib",
        files=(FILE, FileEntry("features.py", 3, "a" * 64)),
        code=("features.py",),
        environment="requirements.txt",
        columns=(
            InputColumn("age", type="float64"),
            InputColumn("city", nullable=True, is_text=True, type="string"),
        ),
        trusted=("own.Step",),
        rank=1,
        kind="classes",
        classes=(0, 1, 2),
        samples="samples.json",
        ignores_extra=True,
        batching=False,
        hosts=2,
        compile="never",
        max_memory=1 << 30,
        device="cpu",
        trained=Trained(
            at="2026-11-27T10:00:00+00:00",
            libraries=(("scikit-learn", "1.10"),),
            metrics=(("accuracy", 0.97), ("mae", 1e-05), ("mse", 2e20)),
        ),
    )

    assert read(manifest) == manifest


@pytest.mark.parametrize("rank", [0, 2])
def test_a_rank_comes_back(rank: int) -> None:
    assert read(Manifest(files=(FILE,), rank=rank)).rank == rank


@pytest.mark.parametrize("text", [text for text in TEXTS if text])
def test_a_text_stays_a_text(text: str) -> None:
    manifest = Manifest(files=(FILE,), columns=(InputColumn(text),), rank=1)

    assert read(manifest).columns == manifest.columns
    assert read(Manifest(files=(FILE,), classes=(text, "b"))).classes == (text, "b")


PLAIN = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(
    st.lists(
        st.one_of(
            PLAIN,
            st.integers(-(10**30), 10**30),
            st.floats(allow_nan=False, allow_infinity=False),
            st.booleans(),
        ),
        min_size=1,
        unique_by=lambda each: (type(each), each),
    )
)
def test_classes_keep_their_types(classes: list[Scalar]) -> None:
    found = read(Manifest(files=(FILE,), classes=tuple(classes))).classes

    assert list(map(type, found)) == list(map(type, classes))
    assert list(found) == classes
