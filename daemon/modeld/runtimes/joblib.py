"""Open joblib and pickle files, compressed or not. `joblib.load` reads both."""

from pickle import UnpicklingError

from modeld.domain import Artifact
from modeld.errors import LoadFailed
from modeld.runtimes.native import NativeModel, missing_package, wrap


def open_pickle(artifact: Artifact) -> NativeModel:
    """Unpickle a staged file; raises `LoadFailed` with what is missing."""
    import joblib

    try:
        estimator = joblib.load(artifact.path)
    except (EOFError, UnpicklingError) as error:
        what = str(error) or "it ends too early"
        raise LoadFailed(f"its file is damaged or cut off ({what}): copy it again") from error
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    except AttributeError as error:
        raise LoadFailed(
            f"{error}: a class that was pickled from a notebook or script must be importable; "
            "save the model with cloudpickle, which takes the class along, or put the class into "
            "a package that is installed here"
        ) from error
    return wrap(estimator, artifact)
