"""Run the shell steps of a workflow as a runner does: a bash, an environment, files for each.

What stands in `${{ }}` is looked up in what the test gives, and anything else fails. The actions
that a step `uses` are GitHub's; the test does their work itself.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
_COMPARISON = re.compile(r"(.+?)\s*(==|!=)\s*(.+)")


@dataclass
class Runner:
    """A checked-out repository, what the expressions mean, and where the steps leave things."""

    folder: Path
    place: Path
    context: Mapping[str, str]
    environment: Mapping[str, str]
    outputs: dict[str, str] = field(default_factory=dict)
    printed: str = ""
    summary: str = ""

    def run(self, workflow: Path, job: str) -> bool:
        """Run the steps of a job whose conditions hold; gives whether all of them succeeded."""
        document = read(workflow)
        content = document["jobs"][job]
        common = {**document.get("env", {}), **content.get("env", {})}
        for step in content["steps"]:
            if "run" not in step or not self.holds(step.get("if", "true")):
                continue
            environment = {**common, **step.get("env", {})}
            given = {name: self.evaluate(str(text)) for name, text in environment.items()}
            if not self._step(step["run"], given):
                return False
        return True

    def _step(self, script: str, given: Mapping[str, str]) -> bool:
        self.place.mkdir(exist_ok=True)
        output, summary = self.place / "output", self.place / "summary"
        output.touch()
        summary.touch()
        runner = {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
            "RUNNER_TEMP": str(self.place),
        }
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "USER") if name in os.environ}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.folder,
            env={**kept, **runner, **self.environment, **given},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )
        self.printed += done.stdout
        self.summary = summary.read_text()
        self.outputs = dict(line.split("=", 1) for line in output.read_text().splitlines())
        return done.returncode == 0

    def evaluate(self, text: str) -> str:
        """Put values in the place of the expressions of a text."""
        return _EXPRESSION.sub(lambda found: self._value(found[1].strip()), text)

    def holds(self, condition: str) -> bool:
        """Tell whether the condition of a step is true."""
        return all(self._compare(part.strip()) for part in condition.split("&&"))

    def _compare(self, text: str) -> bool:
        if text == "true":
            return True
        found = _COMPARISON.fullmatch(text)
        assert found, f"a condition of another kind: {text}"
        is_equal = self._value(found[1]) == self._value(found[3])
        return is_equal == (found[2] == "==")

    def _value(self, expression: str) -> str:
        values = (self._atom(part.strip()) for part in expression.split("||"))
        return next((value for value in values if value), "")

    def _atom(self, text: str) -> str:
        if text.startswith("'"):
            return text.strip("'")
        assert text in self.context, f"nothing is known of {text}"
        return self.context[text]


def read(workflow: Path) -> dict[str, Any]:
    """Read a workflow. YAML takes its key `on` for a truth value."""
    document: dict[str, Any] = yaml.load(workflow.read_text(), yaml.BaseLoader)  # noqa: S506 as all is text
    return document


def steps(workflow: Path) -> Iterator[dict[str, Any]]:
    """Give every step of every job."""
    for job in read(workflow)["jobs"].values():
        yield from job.get("steps", ())
