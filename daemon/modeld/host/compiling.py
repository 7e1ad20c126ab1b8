"""Compile a version, or prove one that was compiled, in a process that may be killed.

The version is opened and tried as it would be to serve, so that what is proven is proven
of what would answer. The file appears whole or not at all.
"""

import os
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from modeld.domain import Proof
from modeld.errors import CompileFailed, LoadFailed
from modeld.host.trial import try_out
from modeld.messages import Compile, Compiled, Prove, Proven
from modeld.runtimes.formats import COMPILED
from modeld.runtimes.golden import read_samples
from modeld.runtimes.stamp import Stamp, mark

_LIBRARIES = ("onnx", "onnxruntime", "skl2onnx")


def compile_version(order: Compile) -> Compiled:
    """Compile and write to `order.target`; raises `CompileFailed`, `LoadFailed` or `OSError`."""
    from modeld.compiler.compile import compile_model
    from modeld.runtimes.native import NativeModel

    for library in _LIBRARIES:
        if find_spec(library) is None:
            raise CompileFailed(f"its environment lacks {library}, which compiling needs")

    started = time.perf_counter()
    model, loaded = try_out(order.artifact, inplace_max=0)
    if not isinstance(model, NativeModel):
        raise CompileFailed(f"a version in the format {order.artifact.format} is not compiled")
    compiled = compile_model(model, read_samples(order.artifact.samples))
    proof = Proof(compiled.way, compiled.rows, compiled.greatest_difference)
    stamp = Stamp(order.artifact.digest, model.signature, proof, loaded.libraries, loaded.example)
    write_whole(Path(order.target), mark(compiled.model, stamp))
    return Compiled(proof, time.perf_counter() - started)


def prove_version(order: Prove) -> Proven:
    """Compare a version with its compiled file, golden samples and probes.

    Raises `CompileFailed` where they differ or the file is another version's, and `LoadFailed`
    where the version itself does not work.
    """
    from modeld.compiler.compile import prove_compiled
    from modeld.runtimes.compiled import CompiledModel

    started = time.perf_counter()
    artifact = order.artifact
    model, _ = try_out(artifact, inplace_max=0)
    try:
        candidate = CompiledModel(replace(artifact, format=COMPILED, path=order.compiled))
    except LoadFailed as error:
        raise CompileFailed(str(error)) from error
    proof = prove_compiled(model, candidate, read_samples(artifact.samples))
    return Proven(proof, time.perf_counter() - started)


def write_whole(target: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees a part of it."""
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
