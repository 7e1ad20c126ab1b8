"""Write rows of texts and numbers as numbers, to make more of them as of any others.

A text is its place among the texts that are tried in its column: those that the model has seen,
those that look like them, and some that no model expects. A missing value is NaN everywhere.
"""

import unicodedata
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np

from modeld.runtimes.model import Array, Rows
from modeld.runtimes.native import NativeModel
from modeld.runtimes.onnx_inputs import NULL

_STRANGE = (
    *("", " ", "unseen", "null", "None", "nan", "NaN", "NA", "<NA>", "true", "0", "1", "0.1"),
    *("é", "e\u0301", "ß", "日本語", "\U0001f600", "\0", "a\0b", "x" * 300, NULL),
)
_MOST_VARIED = 20
_SEEN_SHARE = 0.8


class Coding:
    """The texts that are tried, by column; `model` is the native one that takes the rows.

    In a `strict` column only what the model has seen is tried; the others are `unseen`.
    """

    def __init__(
        self, model: NativeModel, golden: Rows | None, strict: Collection[int] = ()
    ) -> None:
        self._model = model
        signature = model.signature
        self.seen: dict[int, int] = {}
        self.texts: dict[int, list[str]] = {}
        self.unseen: dict[int, list[str]] = {}
        for place, column in enumerate(signature.columns):
            if column.is_text and column.is_used:
                seen = [*model.texts.get(column.name, ())]
                if golden is not None:
                    seen += [cell for cell in golden[:, place] if isinstance(cell, str)]
                seen = [*dict.fromkeys(seen)]
                self.seen[place] = len(seen)
                tried = [*dict.fromkeys([*seen, *_like(seen), *_STRANGE])]
                self.texts[place] = seen if place in strict else tried
                self.unseen[place] = tried[len(seen) :] if place in strict else []

    def rows(self, codes: Array) -> Rows:
        """Give rows as the model takes them."""
        if not self._model.signature.is_mixed:
            return codes
        table: Array = np.empty(codes.shape, dtype=object)
        table[:] = codes
        for place, texts in self.texts.items():
            known = np.array([*texts, None], dtype=object)
            column = codes[:, place]
            code = np.where(np.isnan(column), len(texts), np.clip(column, 0, len(texts) - 1))
            table[:, place] = known[code.astype(np.int64)]
        return table

    def codes(self, rows: Rows) -> Array:
        """Write rows as numbers."""
        codes: Array = np.array(rows, dtype=object)
        for place, texts in self.texts.items():
            known: dict[Any, float] = {text: float(code) for code, text in enumerate(texts)}
            codes[:, place] = [known.get(text, np.nan) for text in rows[:, place]]
        return codes.astype(np.float64)

    def given(self, codes: Array) -> Any:
        """Give rows as the estimator takes them."""
        return self._model.given(self.rows(codes))

    def choose(self, codes: Array, random: np.random.Generator) -> None:
        """Put texts where none are missing, mostly such as the model has seen."""
        for place, texts in self.texts.items():
            count, seen = len(codes), self.seen[place]
            chosen = random.integers(len(texts), size=count)
            if seen:
                is_seen = random.random(count) < _SEEN_SHARE
                chosen = np.where(is_seen, random.integers(seen, size=count), chosen)
            codes[:, place] = np.where(np.isnan(codes[:, place]), np.nan, chosen)

    def each(self, base: Array) -> Iterator[Array]:
        """Give rows with every text of every column."""
        for place, texts in self.texts.items():
            rows = base[np.arange(len(texts)) % len(base)].copy()
            rows[:, place] = np.arange(len(texts))
            yield rows


def _like(texts: Iterable[str]) -> Iterator[str]:
    """Give texts that differ little from some of these."""
    for text in [*texts][:_MOST_VARIED]:
        yield from (text.upper(), text.lower(), text.title(), text.strip())
        yield from (f" {text}", f"{text} ", f"{text}\0", f"{text}x", text[:-1])
        yield from (unicodedata.normalize("NFD", text), unicodedata.normalize("NFC", text))
