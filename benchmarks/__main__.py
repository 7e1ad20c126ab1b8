"""Measure everything in one run and print it.

Exits with 0 whether or not the goals are met (their lines tell), and with 1 when nothing
could be measured.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.contenders import prepare
from benchmarks.errors import BenchmarkError
from benchmarks.load import check_wrk
from benchmarks.machine import Machine, describe
from benchmarks.measure import Round, Settings, measure
from benchmarks.process import two_cpus
from benchmarks.report import write_report

_FULL = (5, 3)
_QUICK = (2, 1)


def main() -> int:
    """Run the benchmark."""
    options = _parse()
    try:
        settings = _settings(is_quick=options.quick)
        rounds, machine = _run(settings)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    print(write_report(rounds, settings, machine))
    if options.json is not None:
        options.json.write_text(_raw(rounds, settings, machine))
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short run: a rough idea only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results here")
    return parser.parse_args()


def _settings(*, is_quick: bool) -> Settings:
    check_wrk()
    repetitions, seconds = _QUICK if is_quick else _FULL
    server_cpu, load_cpu = two_cpus()
    return Settings(repetitions, seconds, server_cpu, load_cpu)


def _run(settings: Settings) -> tuple[list[Round], Machine]:
    with tempfile.TemporaryDirectory(prefix="modeld-bench-") as folder:
        contenders = prepare(Path(folder))
        machine = describe()
        return list(measure(contenders, settings, _tell)), machine


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _raw(rounds: Sequence[Round], settings: Settings, machine: Machine) -> str:
    content = {
        "machine": dataclasses.asdict(machine),
        "settings": dataclasses.asdict(settings),
        "rounds": [dataclasses.asdict(one) for one in rounds],
    }
    return json.dumps(content, indent=2) + "\n"


if __name__ == "__main__":
    sys.exit(main())
