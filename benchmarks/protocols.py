"""Say how each server is asked, and where its answer has the predictions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.cases import Case
from benchmarks.errors import BenchmarkError
from benchmarks.models import Row


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a request: where to, what its body says, and how to read the answer."""

    path: str
    body: Callable[[Sequence[Row]], Any]
    read: Callable[[Any], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Protocol:
    """The form for one row, and the one for many where the server takes many."""

    one: Form
    many: Form | None = None

    def form(self, case: Case) -> Form:
        """Give the form for a case."""
        if case.rows == 1:
            return self.one
        if self.many is None:
            raise BenchmarkError("this server does not take many rows in a request")
        return self.many


def _same(path: str, body: Callable[[Sequence[Row]], Any], read: Callable[[Any], Any]) -> Protocol:
    form = Form(path, body, read)
    return Protocol(form, form)


def _open_inference(rows: Sequence[Row]) -> Any:
    flat = [value for row in rows for value in row]
    shape = [len(rows), len(rows[0])]
    return {"inputs": [{"name": "rows", "shape": shape, "datatype": "FP64", "data": flat}]}


_ONE = Form("/predict", lambda rows: {"features": rows[0]}, lambda answer: [answer["prediction"]])


def _plain(path: str) -> Protocol:
    many = Form(path, lambda rows: {"features": rows}, lambda answer: answer["predictions"])
    return Protocol(_ONE, many)


MODELD = _plain("/predict")
FASTAPI = _plain("/predict-many")
OPEN_INFERENCE = _same(
    "/v2/models/model/infer", _open_inference, lambda answer: answer["outputs"][0]["data"]
)
BENTOML = _same("/predict", lambda rows: {"rows": rows}, lambda answer: answer)
LITSERVE = Protocol(_ONE)
MLFLOW = _same("/invocations", lambda rows: {"inputs": rows}, lambda answer: answer["predictions"])
