"""Open joblib and pickle files, compressed or not, and run what they hold.

`joblib.load` reads both. Anything with a `predict` method will do; what scikit-learn's
estimators say of themselves (`n_features_in_`, `feature_names_in_`, `classes_`) fills
the signature.
"""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from modeld.domain import Artifact, InputColumn, Signature
from modeld.errors import LoadFailed
from modeld.runtimes.columns import Texts, find_texts, takes_frames, to_frame
from modeld.runtimes.model import Rows, as_scalars


class PickledModel:
    """An estimator, or any object with a `predict` method."""

    def __init__(self, estimator: Any, signature: Signature, texts: Texts | None = None) -> None:
        self._estimator = estimator
        self.signature = signature
        self.texts = texts or {}
        self.takes_frames = bool(signature.columns) and (
            signature.is_mixed or takes_frames(estimator)
        )

    @property
    def estimator(self) -> Any:
        """The object that was pickled."""
        return self._estimator

    def predict(self, rows: Rows) -> Any:
        """Call the estimator's own `predict`."""
        return self._estimator.predict(self._given(rows))

    def probabilities(self, rows: Rows) -> Any:
        """Call the estimator's own `predict_proba`."""
        return self._estimator.predict_proba(self._given(rows))

    def _given(self, rows: Rows) -> Any:
        return to_frame(rows, self.signature.columns) if self.takes_frames else rows


def open_pickle(artifact: Artifact) -> PickledModel:
    """Unpickle a staged file; raises `LoadFailed` with what is missing."""
    import joblib

    # Names were checked at the door; scikit-learn warns once per call that an array has none.
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    try:
        estimator = joblib.load(artifact.path)
    except ModuleNotFoundError as error:
        raise LoadFailed(
            f"needs the package '{error.name}', which is not installed here"
        ) from error
    except AttributeError as error:
        raise LoadFailed(
            f"{error}: a class that was pickled from a notebook or script must be importable"
        ) from error
    if isinstance(estimator, type) or not callable(getattr(estimator, "predict", None)):
        raise LoadFailed(f"a {type(estimator).__name__} has no predict method")
    signature, texts = _signature(estimator, artifact)
    return PickledModel(estimator, signature, texts)


def _signature(estimator: Any, artifact: Artifact) -> tuple[Signature, Texts]:
    width = getattr(estimator, "n_features_in_", 0)
    width = int(width) if isinstance(width, int | np.integer) else 0
    classes = artifact.classes or as_scalars(getattr(estimator, "classes_", ()))
    columns = artifact.columns or _columns(getattr(estimator, "feature_names_in_", ()))
    texts = find_texts(estimator, [column.name for column in columns])
    columns = tuple(replace(c, is_text=c.is_text or c.name in texts) for c in columns)
    signature = Signature(
        rank=artifact.rank if artifact.rank >= 0 else 1,
        width=width or len(columns),
        columns=columns,
        classes=classes,
        has_probabilities=_has_probabilities(estimator),
        is_mixed=any(column.is_text for column in columns),
    )
    return signature, texts


def _columns(names: Any) -> tuple[InputColumn, ...]:
    return tuple(InputColumn(str(name)) for name in names)


def _has_probabilities(estimator: Any) -> bool:
    try:
        return callable(getattr(estimator, "predict_proba", None))
    except Exception:
        # A property of somebody's class: whatever it raises means that there are none.
        return False
