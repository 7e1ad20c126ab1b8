"""Models that were made with other versions of their libraries."""

import warnings
from dataclasses import replace
from importlib.metadata import version

import pytest
from sklearn.exceptions import InconsistentVersionWarning

from modeld.domain import Artifact, ModelVersion
from modeld.errors import LoadFailed, SamplesDiffer
from modeld.runtimes.drift import Drift

HERE = version("scikit-learn")
ARTIFACT = Artifact(ModelVersion("default", "v1"), "pickle", "", "", 1, False)


def made_with(**libraries: str) -> Drift:
    return Drift(replace(ARTIFACT, libraries=tuple(libraries.items())))


def test_the_same_versions_are_no_difference() -> None:
    assert made_with(numpy=version("numpy")).differences() == ()


def test_what_the_manifest_says_is_compared() -> None:
    here = version("numpy")

    assert made_with(numpy="1.0").differences() == (f"made with numpy 1.0, opened with {here}",)


def test_a_library_that_is_not_here_is_the_loaders_business() -> None:
    assert made_with(nowhere="1.0").differences() == ()


def test_what_the_pickle_says_is_noted_without_a_manifest() -> None:
    drift = made_with()

    with drift.noted():
        warnings.warn(said(), stacklevel=1)

    assert drift.differences() == (f"made with scikit-learn 1.5.2, opened with {HERE}",)


def said() -> InconsistentVersionWarning:
    return InconsistentVersionWarning(
        estimator_name="LinearRegression",
        current_sklearn_version=HERE,
        original_sklearn_version="1.5.2",
    )


def test_other_warnings_are_passed_on() -> None:
    with pytest.warns(FutureWarning, match="soon"), made_with().noted():
        warnings.warn("soon", FutureWarning, stacklevel=1)


@pytest.mark.parametrize("kind", [LoadFailed, SamplesDiffer])
def test_a_failure_names_the_difference_and_keeps_its_kind(kind: type[LoadFailed]) -> None:
    error = made_with(numpy="1.0").explain(kind("it fails"))

    assert type(error) is kind
    assert str(error).startswith("it fails (made with numpy 1.0, opened with ")
    assert "an environment of its own" in str(error)


def test_without_a_difference_a_failure_stays_as_it_is() -> None:
    failure = LoadFailed("it fails")

    assert made_with().explain(failure) is failure
