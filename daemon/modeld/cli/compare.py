"""`modeld compare`: is one version better than another, on rows whose answers are known?"""

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from modeld.cli.compared import as_markdown, as_text
from modeld.cli.options import fail, json_option, place_options, read_settings, show, version_named
from modeld.cli.progress import progress
from modeld.cli.terminal import ended_as_by_ctrl_c, printable
from modeld.config import Settings
from modeld.control.choosing import Wanted
from modeld.control.scoring import PART_SECONDS, OpenedVersion, opened
from modeld.domain import DEFAULT_MODEL, ModelVersion
from modeld.errors import ModeldError
from modeld.log import configure
from modeld.messages import Score, Scored, Scoring

if TYPE_CHECKING:
    # Not at run time: it imports numpy, which `modeld --help` does without.
    from modeld.cli.measuring.answered import Written
    from modeld.cli.measuring.comparison import Comparison, Interval, Measured

_REFUSED = 1
_LONE_ROWS = 500
_LONE_SECONDS = 5.0
_TURN_ROWS = 25
_TURN_SECONDS = 0.1
_FEWEST_TURNS = 3

Pair = tuple[OpenedVersion, OpenedVersion]
Seconds = tuple[list[float], list[float]]


class Table(NamedTuple):
    """What the versions are compared on. `most_rows` is 0 where all count."""

    path: Path
    target: str
    most_rows: int

    def order(self, target: Path) -> Score:
        """Have its rows answered into a file."""
        wants_scores = bool(self.target)
        return Score(
            *(str(self.path), str(target), "arrays", self.target),
            *(wants_scores, self.most_rows, PART_SECONDS),
        )


@click.command()
@place_options
@json_option
@click.argument("first")
@click.argument("second")
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="A .csv, .parquet or .jsonl."
)
@click.option("--target", help="Its column with the right answers.")
@click.option("--model", default=DEFAULT_MODEL, help="Which model, where there are several.")
@click.option("--limit", type=click.IntRange(1), help="Only so many rows, the first ones.")
@click.option("--markdown", is_flag=True, help="Print for a review.")
@ended_as_by_ctrl_c()
def compare(
    config: Path | None,
    as_json: bool,
    first: str,
    second: str,
    data: Path,
    target: str | None,
    model: str,
    limit: int | None,
    markdown: bool,
    **flags: object,
) -> None:
    """Compare the answers of versions FIRST and SECOND to the rows of a file.

    With --target: how good each is and whether one is better, with 95 % confidence intervals.
    In any case: how often they agree, how long one row takes, and rows on which they differ.

    Exit codes: 0 compared, 1 it cannot be done.
    """
    settings = read_settings(config, **flags)
    configure(settings.log_format, is_quiet=True)
    versions = (version_named(first, model), version_named(second, model))
    table = Table(data, target or "", limit or 0)
    try:
        document = asyncio.run(_compare(settings, versions, table))
    except (ModeldError, OSError) as error:
        fail(printable(f"not compared: {error}"), _REFUSED)
    text = as_markdown(document) if markdown else as_text(document)
    show(document, as_json=as_json and not markdown, text=text)


async def _compare(
    settings: Settings, versions: tuple[ModelVersion, ModelVersion], table: Table
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="modeld-") as folder:
        async with opened(settings, tuple(map(Wanted, versions))) as (first, second):
            pair = (first, second)
            written, is_classes = await _score(pair, table, Path(folder))
            seconds = await _clock(pair)
            found = _measure(written, is_classes=is_classes)
            rows = [each.row for each in found.agreement.differences]
            looked = await asyncio.gather(*(v.look(table.path, rows, table.target) for v in pair))
    inputs = [json.loads(one) | json.loads(two) for one, two in zip(*looked, strict=True)]
    return _document(pair, table, found, seconds, inputs)


async def _score(pair: Pair, table: Table, folder: Path) -> "tuple[tuple[Written, Written], bool]":
    """Have both answer all rows, at the same time."""
    from modeld.cli.measuring.answered import Written

    shares = [0.0, 0.0]
    with progress(f"compare {pair[0].version} and {pair[1].version}") as told:

        def score(index: int) -> Awaitable[Scored]:
            def tell(done: Scoring) -> None:
                shares[index] = done.share
                told(sum(shares) / 2, f"{done.rows:,} rows")

            pair[index].host.on_progress = tell
            return pair[index].score(table.order(folder / str(index)))

        first, second = await asyncio.gather(score(0), score(1))
    _check_alike(pair, first, second)
    has_truths = bool(table.target)
    written = (
        Written(folder / "0", has_truths, first.has_losses),
        Written(folder / "1", has_truths, second.has_losses),
    )
    return written, first.is_classes


def _check_alike(pair: Pair, first: Scored, second: Scored) -> None:
    if (first.is_classes, first.is_text) == (second.is_classes, second.is_text):
        return
    kinds = [
        "texts" if each.is_text else "classes" if each.is_classes else "quantities"
        for each in (first, second)
    ]
    raise ModeldError(
        f"{pair[0].version} answers {kinds[0]} and {pair[1].version} {kinds[1]}: "
        "no measure fits both"
    )


def _measure(written: "tuple[Written, Written]", *, is_classes: bool) -> "Comparison":
    from modeld.cli.measuring.comparison import compare

    return compare(*written, is_classes=is_classes)


async def _clock(pair: Pair) -> Seconds:
    """Time lone rows in turns, so that whatever else the machine does hits both."""
    slowest = max(version.loaded.row_seconds for version in pair)
    rows = max(1, min(_TURN_ROWS, int(_TURN_SECONDS / max(slowest, 1e-6))))
    found: Seconds = ([], [])
    end = time.monotonic() + _LONE_SECONDS
    for version in pair:
        await version.clock(rows)  # what is first is slow
    turns = 0
    while len(found[0]) < _LONE_ROWS and (turns < _FEWEST_TURNS or time.monotonic() < end):
        for index, version in enumerate(pair):
            found[index].extend(await version.clock(rows))
        turns += 1
    return found


def _document(
    pair: Pair, table: Table, found: "Comparison", seconds: Seconds, inputs: list[Any]
) -> dict[str, Any]:
    from modeld.cli.measuring.comparison import verdict

    first, second = (str(each.version) for each in pair)
    agreement = found.agreement
    return {
        "first": first,
        "second": second,
        "data": table.path.name,
        "target": table.target or None,
        "rows": agreement.rows,
        "verdict": verdict(found, first, second),
        "measures": [_measured(each) for each in found.measured],
        "agreement": {
            "share": agreement.share,
            "rows": agreement.equal,
            "mean_distance": agreement.mean_distance,
        },
        "latency": {"first": _latency(seconds[0]), "second": _latency(seconds[1])},
        "differences": [
            {
                "row": each.row,
                "inputs": row,
                "first": each.first,
                "second": each.second,
                "truth": each.truth,
            }
            for each, row in zip(agreement.differences, inputs, strict=True)
        ],
    }


def _measured(measured: "Measured") -> dict[str, Any]:
    return {
        "name": measured.measure.name,
        "label": measured.measure.label,
        "more_is_better": measured.measure.is_gain,
        "first": _interval(measured.first),
        "second": _interval(measured.second),
        "difference": _interval(measured.difference),
        "second_is": {1: "better", -1: "worse"}.get(measured.gain),
    }


def _interval(interval: "Interval") -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}


def _latency(seconds: list[float]) -> dict[str, Any]:
    import numpy as np

    middle, high = np.percentile(seconds, (50, 99))
    return {"p50_ms": float(middle) * 1e3, "p99_ms": float(high) * 1e3, "rows": len(seconds)}
