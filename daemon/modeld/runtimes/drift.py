"""Notice that a model was made with other versions of its libraries than are here.

The manifest says what a version was made with, and scikit-learn's pickles say it of
themselves. Such a model mostly works; where it does not, this is the likely reason.
"""

import contextlib
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from modeld.domain import Artifact
from modeld.errors import LoadFailed


class Drift:
    """What a version was made with, as far as it tells."""

    def __init__(self, artifact: Artifact) -> None:
        self._made_with = dict(artifact.libraries)

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note what scikit-learn says while it opens a model; other warnings are passed on."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for each in caught:
            made_with = getattr(each.message, "original_sklearn_version", None)
            if isinstance(made_with, str):
                self._made_with.setdefault("scikit-learn", made_with)
            else:
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)

    def differences(self) -> tuple[str, ...]:
        """Name each library that is another version here."""
        found = []
        for name, made_with in self._made_with.items():
            with contextlib.suppress(PackageNotFoundError):
                if (here := version(name)) != made_with:
                    found.append(f"made with {name} {made_with}, opened with {here}")
        return tuple(found)

    def explain(self, error: LoadFailed) -> LoadFailed:
        """Add the differences to what went wrong."""
        found = "; ".join(self.differences())
        if not found:
            return error
        return type(error)(
            f"{error} ({found}: give it an environment of its own, or make it again)"
        )
