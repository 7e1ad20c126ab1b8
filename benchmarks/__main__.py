"""Measure everything in one run and print it.

Exits with 0 whether or not the goals are met (their table tells), and with 1 when something
could not be measured that must be.
"""

import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.contenders import COMPILED, NATIVE, fastapi, own_of
from benchmarks.errors import BenchmarkError
from benchmarks.findings import Findings
from benchmarks.lineup import line_up
from benchmarks.load import check_wrk
from benchmarks.machine import Machine, describe
from benchmarks.measure import Absence, Round, Settings, measure
from benchmarks.models import REGRESSION, SUCCESSOR, Model, train
from benchmarks.options import SPEED, STARTS, SWITCHING, Options, read_options
from benchmarks.process import two_cpus
from benchmarks.report import write_report
from benchmarks.starting import Start, measure_starts
from benchmarks.switching import Switching, measure_switching


def main() -> int:
    """Run the benchmark."""
    try:
        options = read_options()
        settings = _settings(options)
        findings, machine = _run(options, settings)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(write_report(findings, settings, machine))
    if options.json is not None:
        options.json.write_text(_raw(findings, settings, machine))
    return 0


def _settings(options: Options) -> Settings:
    check_wrk()
    server_cpu, load_cpu = two_cpus()
    length = options.length
    return Settings(length.repetitions, length.seconds, server_cpu, load_cpu, length.attempts)


def _run(options: Options, settings: Settings) -> tuple[Findings, Machine]:
    with tempfile.TemporaryDirectory(prefix="modeld-bench-") as name:
        folder = Path(name)
        machine = describe(has_peers=options.choice.has_peers)
        _tell("training the models")
        models = train(folder / "trained")
        rounds, absences = _measure_speed(models, folder, options, settings)
        return Findings(
            rounds,
            absences,
            tuple(_measure_starts(models, folder, options, settings)),
            tuple(_measure_switching(models, folder, options, settings)),
        ), machine


def _measure_speed(
    models: Mapping[str, Model], folder: Path, options: Options, settings: Settings
) -> tuple[tuple[Round, ...], tuple[Absence, ...]]:
    if SPEED not in options.parts:
        return (), ()
    contenders, absent = line_up(models, folder, options.choice, settings.server_cpu, _tell)
    found = list(measure(contenders, settings, _tell))
    rounds = tuple(one for one in found if isinstance(one, Round))
    return rounds, (*absent, *(one for one in found if isinstance(one, Absence)))


def _measure_starts(
    models: Mapping[str, Model], folder: Path, options: Options, settings: Settings
) -> Iterator[Start]:
    if STARTS in options.parts:
        versions = {"v1": models[REGRESSION.name]}
        contender = own_of(COMPILED, versions, folder / "starts")
        plain = next(fastapi(models[REGRESSION.name], folder))
        yield from measure_starts(contender, plain, settings, _tell)


def _measure_switching(
    models: Mapping[str, Model], folder: Path, options: Options, settings: Settings
) -> Iterator[Switching]:
    if SWITCHING not in options.parts:
        return
    versions = {"v1": models[REGRESSION.name], "v2": models[SUCCESSOR.name]}
    for server in (COMPILED, NATIVE):
        warm = own_of(server, versions, folder / "switching" / server)
        few = {**warm.environment, "MODELD_MAX_LOADED": "1"}
        cold = dataclasses.replace(warm, environment=few)
        yield measure_switching(warm, cold, settings, options.length.extent, _tell)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _raw(findings: Findings, settings: Settings, machine: Machine) -> str:
    content = {
        "machine": dataclasses.asdict(machine),
        "settings": dataclasses.asdict(settings),
        "findings": dataclasses.asdict(findings),
    }
    return json.dumps(content, indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main())
