"""`modeld init`: make a deployment repository, which works as it is.

What it writes stands in `starter/`; its links lead to the files of this repository itself.

Nothing that is there is overwritten. Where there is no version yet, an example is trained, so
that the very first `modeld serve` answers.
"""

import subprocess
import sys
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from modeld import __version__
from modeld.cli.options import fail
from modeld.domain import DEFAULT_MODEL
from modeld.git.worktree import find_work_tree
from modeld.repository.versions import Repository

_FAILED = 1
_PLACES = {
    "gitattributes": ".gitattributes",
    "gitignore": ".gitignore",
    "workflows": ".github/workflows",
}
"""What of the starter has another name in a repository."""
_TRAIN = "train.py"
_STATE = "state/active.yaml"


@click.command()
@click.argument("folder", default=".", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> None:
    """Make FOLDER a repository of models with its workflows, ready to be served.

    Exit codes: 0 done, 1 something cannot be written.
    """
    try:
        for line in _write(folder):
            click.echo(line)
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror}", _FAILED)
    click.echo(_next(folder))


def _write(folder: Path) -> list[str]:
    lines = [_put(folder / name, text) for name, text in _texts().items()]
    versions = Repository(folder / "models").listing().versions(DEFAULT_MODEL)
    if not versions and not (folder / _STATE).exists():
        lines.append(_put(folder / _TRAIN, _starter().joinpath(_TRAIN).read_text()))
        _train(folder)
        versions = ("v1",)
        lines.append(f"trained {folder / 'models' / 'v1'}")
    if len(versions) == 1:
        lines.append(_put(folder / _STATE, f"active: {versions[0]}\n"))
    return lines


def _texts() -> dict[str, str]:
    """Give all that a repository gets, by its place there; the example comes only if needed."""
    texts = {"requirements.txt": f"modeld=={__version__}\n"}
    for entry in _starter().iterdir():
        if entry.name != _TRAIN:
            texts |= _texts_of(entry, _PLACES.get(entry.name, entry.name))
    return dict(sorted(texts.items()))


def _texts_of(entry: Traversable, place: str) -> dict[str, str]:
    if entry.is_file():
        return {place: entry.read_text()}
    texts: dict[str, str] = {}
    for child in entry.iterdir():
        texts |= _texts_of(child, f"{place}/{child.name}")
    return texts


def _starter() -> Traversable:
    return files("modeld").joinpath("starter")


def _put(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        return f"kept    {path}"
    return f"wrote   {path}"


def _train(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, _TRAIN], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        fail(f"{folder / _TRAIN} does not train the example: {why}", _FAILED)


def _next(folder: Path) -> str:
    lines = [f"cd {folder}"] if folder != Path() else []
    tree = find_work_tree(folder / _STATE)
    if tree is None:
        lines.append("git init")
    lines += ["git add .", 'git commit -m "Serve the first version"', "modeld serve"]
    text = "\nNext:\n" + "\n".join(f"    {line}" for line in lines)
    if not (folder / _STATE).exists():
        text += f"\nBefore, name the version that is to be served: echo 'active: …' > {_STATE}"
    if tree is not None and tree.root != folder.resolve():
        text += f"\nGitHub finds workflows in {tree.root / '.github'} alone; move them there."
    return text
