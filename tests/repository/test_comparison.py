"""Two versions side by side."""

from dataclasses import replace

import pytest

from modeld.domain import InputColumn
from modeld.repository.comparison import Comparison, FilePair, MetricPair, Pair, compare
from modeld.repository.manifest import FileEntry, Manifest, Threshold, Trained

_FILE = FileEntry("model.joblib", 10, "a" * 64)
_FORMER = Manifest(
    format="joblib",
    files=(_FILE,),
    columns=(InputColumn("age", type="float64"),),
    kind="classes",
    classes=(0, 1),
    trained=Trained("2026-01-01", "abc", (("numpy", "2.0"),), (("accuracy", 0.75),)),
)


def _compared(**changed: object) -> Comparison:
    return compare(_FORMER, replace(_FORMER, **changed), "sha256:a", "sha256:b")  # type: ignore[arg-type]  # the cases are right


def test_a_version_compared_with_itself_has_only_equal_parts() -> None:
    found = compare(_FORMER, _FORMER, "sha256:a", "sha256:a")

    pairs: list[Pair | FilePair | MetricPair] = [found.digest, found.format, *found.files]
    pairs += [*found.inputs, *found.outputs, *found.libraries, *found.metrics, *found.trained]
    assert [pair.change for pair in pairs] == ["same"] * 10
    assert found.is_same_input


@pytest.mark.parametrize(
    ("columns", "types", "expected"),
    [
        ((("age", False),), ("string",), [("age", "float64", "string", "changed")]),
        ((("age", False),), ("",), [("age", "float64", "any type", "changed")]),
        (
            (("age", True),),
            ("float64",),
            [("age", "float64", "float64, may be missing", "changed")],
        ),
        (
            (("height", False), ("age", False)),
            ("int8", "float64"),
            [("age", "float64", "float64", "same"), ("height", None, "int8", "added")],
        ),
        ((), (), [("age", "float64", None, "removed")]),
    ],
)
def test_inputs_are_added_removed_or_of_another_type(
    columns: tuple[tuple[str, bool], ...],
    types: tuple[str, ...],
    expected: list[tuple[str, str | None, str | None, str]],
) -> None:
    inputs = tuple(
        InputColumn(name, nullable, type=kind)
        for (name, nullable), kind in zip(columns, types, strict=True)
    )

    found = _compared(columns=inputs)

    assert [(each.name, each.before, each.after, each.change) for each in found.inputs] == expected
    assert found.is_same_input == all(each[-1] == "same" for each in expected)


def test_files_are_compared_by_content_and_listed_with_their_sizes() -> None:
    other = FileEntry("model.joblib", 10, "b" * 64)
    new = FileEntry("extra.bin", 3, "c" * 64)

    found = _compared(files=(new, other))

    assert found.files == (FilePair("model.joblib", _FILE, other), FilePair("extra.bin", None, new))
    assert [each.change for each in found.files] == ["changed", "added"]


def test_a_class_that_becomes_a_text_is_a_change() -> None:
    found = _compared(classes=("0", 1), threshold=Threshold(1, 0.25))

    assert found.outputs == (
        Pair("kind", "classes", "classes"),
        Pair("classes", "0, 1", "'0', 1"),
        Pair("threshold", None, "1 at 0.25"),
    )


def test_metrics_have_a_difference_only_where_both_give_them() -> None:
    trained = Trained(metrics=(("accuracy", 1.0), ("auc", 0.5)))

    found = _compared(trained=trained)

    assert found.metrics == (MetricPair("accuracy", 0.75, 1.0), MetricPair("auc", None, 0.5))
    assert [each.difference for each in found.metrics] == [0.25, None]
    assert [each.change for each in found.libraries] == ["removed"]
    assert [each.change for each in found.trained] == ["removed", "removed"]


def test_without_manifests_the_digests_remain() -> None:
    found = compare(None, None, "sha256:a", "sha256:b")

    assert found.digest == Pair("digest", "sha256:a", "sha256:b")
    assert (found.files, found.inputs, found.outputs, found.metrics) == ((), (), (), ())
