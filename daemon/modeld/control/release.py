"""Hold a version that was loaded and proven, as the control process knows it."""

import asyncio
from dataclasses import dataclass, field

from modeld.control.hosts import Host
from modeld.domain import Artifact, ModelVersion, ReleaseSpec
from modeld.messages import Loaded
from modeld.repository.staging import Staged


@dataclass(slots=True, eq=False)
class LoadedRelease:
    """A proven version. It has no hosts once workers run it themselves.

    `why_native` says why it is not compiled, empty where it is or need not be.
    """

    spec: ReleaseSpec
    artifact: Artifact
    staged: Staged
    loaded: Loaded
    hosts: list[Host]
    why_native: str = ""
    last_used: float = 0.0
    predictions_seen: int = -1
    revived_at: float = 0.0
    revivals: int = 0
    reviving: asyncio.Lock = field(default_factory=asyncio.Lock)
    became: "LoadedRelease | None" = None
    """What compiling made of it."""
    compiling: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def version(self) -> ModelVersion:
        """Which version this is."""
        return self.spec.version

    @property
    def is_native(self) -> bool:
        """Whether the version runs as it came, and not compiled or as ONNX."""
        return self.spec.runtime == "native"
