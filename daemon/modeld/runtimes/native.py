"""Run estimators as their library made them, whatever file they came in.

Anything with a `predict` method will do; what scikit-learn's estimators say of themselves
(`n_features_in_`, `feature_names_in_`, `classes_`) fills the signature.
"""

import contextlib
from dataclasses import replace
from typing import Any

from modeld.domain import Artifact, InputColumn, Signature
from modeld.errors import LoadFailed
from modeld.runtimes.columns import (
    Texts,
    as_categories,
    find_names,
    find_texts,
    find_unused,
    find_width,
    order_columns,
    takes_categories,
    takes_frames,
    takes_texts,
    to_frame,
)
from modeld.runtimes.model import Rows, as_scalars


class NativeModel:
    """An estimator, or any object with a `predict` method."""

    def __init__(self, estimator: Any, signature: Signature, texts: Texts | None = None) -> None:
        self._estimator = estimator
        self.signature = signature
        self.texts = texts or {}
        self._takes_categories = takes_categories(estimator)
        self.takes_frames = bool(signature.columns) and (
            signature.is_mixed or takes_frames(estimator)
        )

    @property
    def estimator(self) -> Any:
        """The object that was in the file."""
        return self._estimator

    def predict(self, rows: Rows) -> Any:
        """Call the estimator's own `predict`."""
        return self._estimator.predict(self.given(rows))

    def probabilities(self, rows: Rows) -> Any:
        """Call the estimator's own `predict_proba`."""
        return self._estimator.predict_proba(self.given(rows))

    def given(self, rows: Rows) -> Any:
        """Put rows into what the estimator takes: an array, a frame, or texts."""
        if not self.takes_frames:
            return rows
        frame = to_frame(rows, self.signature.columns)
        return as_categories(frame) if self._takes_categories else frame


def missing_package(error: ModuleNotFoundError) -> LoadFailed:
    """Say which package a model needs."""
    return LoadFailed(
        f"needs the package '{error.name}', which is not installed here: install it in the "
        "environment that modeld runs in, or give the version one of its own"
    )


def wrap(estimator: Any, artifact: Artifact) -> NativeModel:
    """Make a model of what was in a file; raises `LoadFailed` where it cannot predict."""
    if isinstance(estimator, type) or not callable(getattr(estimator, "predict", None)):
        raise LoadFailed(f"a {type(estimator).__name__} has no predict method")
    if type(estimator).__module__ == "xgboost.core":
        raise LoadFailed(
            "an xgboost Booster takes no rows: save the XGBClassifier or XGBRegressor around it"
        )
    _use_one_thread(estimator)
    signature, texts = _signature(estimator, artifact)
    return NativeModel(estimator, signature, texts)


def _use_one_thread(estimator: Any) -> None:
    """Undo what was set for training: threads make a lone row slower."""
    found: tuple[Any, ...] = (estimator, getattr(estimator, "best_estimator_", None))
    for each in found:
        # Somebody's class may have these methods and mean something else by them.
        with contextlib.suppress(Exception):
            names = [name for name in each.get_params() if name.rpartition("__")[2] == "n_jobs"]
            each.set_params(**dict.fromkeys(names, 1))


def _signature(estimator: Any, artifact: Artifact) -> tuple[Signature, Texts]:
    width = find_width(estimator)
    columns, texts = _columns(estimator, artifact)
    if width and columns and len(columns) != width:
        raise LoadFailed(f"model.yaml names {len(columns)} inputs, the model takes {width}")
    signature = Signature(
        rank=artifact.rank if artifact.rank >= 0 else 1 - takes_texts(estimator),
        width=width or len(columns),
        classes=artifact.classes or as_scalars(getattr(estimator, "classes_", ())),
        has_probabilities=_has_probabilities(estimator),
    )
    return signature.with_columns(columns), texts


def _columns(estimator: Any, artifact: Artifact) -> tuple[tuple[InputColumn, ...], Texts]:
    """Name the columns, as the manifest does or else the model; give the texts it has seen."""
    known = find_names(estimator)
    given = order_columns(artifact.columns, known) or tuple(map(InputColumn, known))
    names = [column.name for column in given]
    texts, unused = find_texts(estimator, names), find_unused(estimator, names)
    columns = tuple(
        replace(c, is_text=c.is_text or c.name in texts, is_used=c.name not in unused)
        for c in given
    )
    return columns, texts


def _has_probabilities(estimator: Any) -> bool:
    try:
        return callable(getattr(estimator, "predict_proba", None))
    except Exception:
        # A property of somebody's class: whatever it raises means that there are none.
        return False
