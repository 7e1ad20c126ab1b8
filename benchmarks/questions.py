"""Ask a server for predictions by its own protocol, one request at a time."""

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.cases import MANY_ROWS, Case
from benchmarks.contenders import Contender
from benchmarks.http import post


def ask(contender: Contender, port: int, rows: Any, count: int) -> tuple[int, list[Any]]:
    """Ask for predictions; gives the status, and the predictions where it is 200."""
    form = contender.protocol.form(Case(count, 1))
    status, answer = post(port, form.path, form.body(rows))
    return status, list(form.read(json.loads(answer))) if status == 200 else [answer]


def write_body(contender: Contender, case: Case) -> tuple[str, str]:
    """Write what is sent again and again in a case: the path and the body."""
    form = contender.protocol.form(case)
    return form.path, json.dumps(form.body(rows_of(contender, case)))


def rows_of(contender: Contender, case: Case) -> Sequence[Any]:
    """Give the rows of a case: the first golden one, or the whole batch."""
    model = contender.model
    return model.batch.inputs if case.rows == MANY_ROWS else model.samples.inputs[:1]
