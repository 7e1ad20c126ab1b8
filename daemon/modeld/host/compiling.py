"""Compile a version, in a process that may be killed, and write the result to a file.

The version is opened and tried as it would be to serve, so that what is proven is proven
of what would answer. The file appears whole or not at all.
"""

import os
import time
from pathlib import Path

from modeld.domain import Proof
from modeld.errors import CompileFailed
from modeld.host.trial import try_out
from modeld.messages import Compile, Compiled
from modeld.runtimes.golden import read_samples
from modeld.runtimes.stamp import Stamp, mark


def compile_version(order: Compile) -> Compiled:
    """Compile and write to `order.target`; raises `CompileFailed`, `LoadFailed` or `OSError`."""
    from modeld.compiler.compile import compile_model
    from modeld.runtimes.joblib import PickledModel

    started = time.perf_counter()
    model, loaded = try_out(order.artifact, inplace_max=0)
    if not isinstance(model, PickledModel):
        raise CompileFailed(f"a version in the format {order.artifact.format} is not compiled")
    compiled = compile_model(model, read_samples(order.artifact.samples))
    proof = Proof(compiled.way, compiled.rows, compiled.greatest_difference)
    stamp = Stamp(order.artifact.digest, model.signature, proof, loaded.libraries)
    write_whole(Path(order.target), mark(compiled.model, stamp))
    return Compiled(proof, time.perf_counter() - started)


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
