"""Find out what the columns of a table are, and hand rows over as a table wants them.

A ColumnTransformer tells by what it was fitted on: an encoder keeps the categories that it
has seen, a vectorizer its vocabulary. LightGBM and scikit-learn's histogram boosting keep those
of pandas' columns. Steps that choose columns by their names take a
DataFrame and nothing else. A vectorizer that comes first of all takes texts instead of rows.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from modeld.domain import InputColumn
from modeld.runtimes.model import Array, Rows

Texts = dict[str, tuple[str, ...]]
"""Columns of texts by name, each with the texts that were seen in training."""

_WRAPPED = (
    *("best_estimator_", "calibrated_classifiers_", "estimators_", "estimator_", "estimator"),
    "regressor_",
)
_DEEPEST = 8
_UNKNOWN = ("a",)
"""What to try where none is known."""


def find_width(estimator: Any) -> int:
    """Say how many columns it takes, 0 where it does not tell."""
    width = getattr(estimator, "n_features_in_", None)
    if not width and _is_catboost(estimator):
        width = len(estimator.feature_names_)
    return int(width) if isinstance(width, int | np.integer) else 0


def _is_catboost(estimator: Any) -> bool:
    return type(estimator).__module__.partition(".")[0] == "catboost"


def find_names(estimator: Any) -> list[str]:
    """Name the columns as the model does; none where it knows their places alone."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None and _is_catboost(estimator):
        # CatBoost counts the columns of an array, and writes the numbers as texts.
        names = estimator.feature_names_
        if names == [str(i) for i in range(len(names))]:
            return []
    return [] if names is None else [str(name) for name in names]


def find_texts(estimator: Any, names: Sequence[str]) -> Texts:
    """Name the columns that are texts."""
    found: Texts = {}
    if names and _is_catboost(estimator):
        found |= {names[i]: _UNKNOWN for i in estimator.get_cat_feature_indices()}
    found |= {names[place]: texts for place, texts in _seen_by_lightgbm(estimator) if names}
    for transformer, columns in _parts(estimator):
        for name, texts in zip(_named(columns, names), _seen_by(transformer), strict=False):
            if texts:
                found[name] = texts
    return found


def find_unused(estimator: Any, names: Sequence[str]) -> set[str]:
    """Name the columns that are dropped before anything sees them."""
    dropped: set[str] = set()
    used: set[str] = set()
    for transformer, columns in _parts(estimator):
        is_dropped = isinstance(transformer, str) and transformer == "drop"
        (dropped if is_dropped else used).update(_named(columns, names))
    return dropped - used


def takes_texts(estimator: Any) -> bool:
    """Tell whether a row is a text: what comes first is a vectorizer, or several side by side."""
    first = _first_step(estimator)
    side_by_side = getattr(first, "transformer_list", None)
    steps = [step for _, step in side_by_side] if side_by_side else [first]
    return all(_is_vectorizer(_first_step(step)) for step in steps)


def _is_vectorizer(step: Any) -> bool:
    """Tell whether it makes vectors of texts, and not of the files that they name."""
    has_analyzer = callable(getattr(type(step), "build_analyzer", None))
    return has_analyzer and getattr(step, "input", "content") == "content"


def order_columns(given: tuple[InputColumn, ...], known: Sequence[str]) -> tuple[InputColumn, ...]:
    """Put columns into the order in which the model knows them, if it knows just these."""
    by_name = {column.name: column for column in given}
    if by_name.keys() != set(known):
        return given
    return tuple(by_name[name] for name in known)


def takes_categories(estimator: Any) -> bool:
    """Tell whether texts are to be pandas' categories, as these two want them."""
    steps = getattr(estimator, "steps", None) or [("", estimator)]
    return any(
        type(each).__module__.partition(".")[0] in ("lightgbm", "xgboost")
        for each in (steps[-1][1], _first_step(estimator))
    )


def as_categories(frame: Any) -> Any:
    """Give texts as categories; other columns stay as they are."""
    return frame.astype(dict.fromkeys(frame.select_dtypes(exclude=["number", "bool"]), "category"))


def takes_frames(estimator: Any) -> bool:
    """Tell whether columns are chosen by name."""
    return any(isinstance(column, str) for _, each in _parts(estimator) for column in _list(each))


def to_frame(rows: Rows, columns: Sequence[InputColumn]) -> Any:
    """Make a DataFrame of rows: columns of numbers as their type says, and columns of texts."""
    import pandas

    kind = _text_type()
    return pandas.DataFrame(
        {
            column.name: pandas.Series(rows[:, i], dtype=kind)
            if column.is_text
            else _numbers(rows[:, i], column.type)
            for i, column in enumerate(columns)
        }
    )


@cache
def _text_type() -> Any:
    """Say what pandas makes of texts, to make the same of a column that has none."""
    import pandas

    return pandas.Series(["a"]).dtype


def missing_text() -> Any:
    """Give what a model finds in a frame where a text is missing: `None` or NaN."""
    import pandas

    return pandas.Series([None], dtype=_text_type()).tolist()[0]


def is_missing(value: Any) -> bool:
    """Tell whether it stands for a missing value."""
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _numbers(cells: Array, kind: str) -> Array:
    """Give the type that is asked for, unless a whole number is missing."""
    plain = cells.astype(np.float64)
    if not kind or (not kind.startswith("float") and np.isnan(plain).any()):
        return plain
    return plain.astype(kind)


def as_object(row: Sequence[Any], columns: Sequence[InputColumn]) -> dict[str, Any]:
    """Give the cells by the names of their columns, of those that are used."""
    return {c.name: cell for c, cell in zip(columns, row, strict=True) if c.is_used}


def listed(row: Any, columns: Sequence[InputColumn]) -> Any:
    """Put an object's values in order; what is not used is left out."""
    if isinstance(row, dict):
        row = [row[c.name] if c.is_used else None for c in columns]
    if not columns or not isinstance(row, list) or len(row) != len(columns):
        return row
    return [cell if c.is_used else None for c, cell in zip(columns, row, strict=True)]


def to_table(rows: Sequence[Sequence[Any]]) -> Array:
    """Hold texts and numbers side by side: one object for each cell."""
    table = np.empty((len(rows), len(rows[0])), dtype=object)
    table[:] = rows
    return table


def _parts(estimator: Any) -> Iterator[tuple[Any, Any]]:
    """Give the fitted transformers of the first step that chooses columns.

    Histogram boosting has some of its own for its categories.
    """
    first = _first_step(estimator)
    first = getattr(first, "_preprocessor", None) or first
    transformers = getattr(first, "transformers_", None)
    if isinstance(transformers, list):
        for _, transformer, columns in transformers:
            yield transformer, columns


def _first_step(estimator: Any) -> Any:
    """Find what sees the rows first, through pipelines and what is wrapped around them."""
    for _ in range(_DEEPEST):
        inner = _inner(estimator)
        if inner is None:
            break
        estimator = inner
    return estimator


def _inner(estimator: Any) -> Any:
    steps = getattr(estimator, "steps", None)
    if isinstance(steps, list) and all(isinstance(each, tuple) for each in steps):
        return next((step for _, step in steps if _sees_rows(step)), None)
    for name in _WRAPPED:
        inner = getattr(estimator, name, None)
        if isinstance(inner, list) and inner:
            inner = inner[0]
        if hasattr(inner, "predict") or hasattr(inner, "predict_proba"):
            return inner
    return None


def _sees_rows(step: Any) -> bool:
    """Tell whether a step is there to predict: samplers are not, and some steps do nothing."""
    return step is not None and not isinstance(step, str) and not hasattr(step, "fit_resample")


def _list(columns: Any) -> list[Any]:
    if isinstance(columns, str | int | np.integer):
        return [columns]
    if isinstance(columns, slice):
        return [each for each in (columns.start, columns.stop) if isinstance(each, str)]
    return list(columns)


def _named(columns: Any, names: Sequence[str]) -> list[str]:
    return [names[place] for place in places(columns, len(names), names)] if names else []


def places(columns: Any, width: int, names: Sequence[str]) -> list[int]:
    """Count the columns of a transformer from 0, however it was told them."""
    if isinstance(columns, slice):
        return list(range(width))[_counted(columns, names)]
    listed = _list(columns)
    if listed and all(isinstance(each, bool | np.bool_) for each in listed):
        return [place for place, chosen in enumerate(listed) if chosen]
    by_name = {name: place for place, name in enumerate(names)}
    return [by_name[each] if isinstance(each, str) else int(each) % width for each in listed]


def _counted(columns: slice, names: Sequence[str]) -> slice:
    """Give a slice by places: of names, the last one is among them."""
    start, stop = columns.start, columns.stop
    start = list(names).index(start) if isinstance(start, str) else start
    stop = list(names).index(stop) + 1 if isinstance(stop, str) else stop
    return slice(start, stop, columns.step)


def _seen_by_lightgbm(estimator: Any) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Give the places of the columns that were categories of texts, with these.

    It keeps the places of all that it splits as categories, and the values of pandas' own: they
    are told apart only where these are the same columns.
    """
    booster = getattr(_first_step(estimator), "booster_", None)
    places = getattr(booster, "params", {}).get("categorical_column", [])
    categories = getattr(booster, "pandas_categorical", None) or []
    if len(places) != len(categories):
        return
    for place, seen in zip(places, categories, strict=True):
        texts = tuple(each for each in seen if isinstance(each, str))
        if texts:
            yield place, texts


def _seen_by(transformer: Any) -> Iterator[tuple[str, ...]]:
    """Give the texts that each column of a transformer has had, none for numbers."""
    for step in [each for _, each in getattr(transformer, "steps", [("", transformer)])]:
        if hasattr(step, "vocabulary_"):
            yield tuple(step.vocabulary_) or _UNKNOWN
            return
        categories = getattr(step, "categories_", None)
        if isinstance(categories, list):
            for seen in categories:
                yield tuple(each for each in seen if isinstance(each, str))
            return
