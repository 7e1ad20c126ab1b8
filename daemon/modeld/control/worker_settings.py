"""Pick the settings that a worker is told: it never reads the others."""

from modeld.config import Settings
from modeld.domain import WorkerSettings


def worker_settings(settings: Settings) -> WorkerSettings:
    """Pick the few settings that a worker needs."""
    return WorkerSettings(
        slot=0,
        max_body=settings.max_body,
        max_rows=settings.max_rows,
        max_queue=settings.max_queue,
        max_connections=settings.max_connections,
        keepalive=settings.keepalive,
        request_timeout=settings.request_timeout,
        load_timeout=settings.load_timeout,
        drain_delay=settings.drain_delay,
        drain_timeout=settings.drain_timeout,
        express=settings.express == "on",
        log_format=settings.log_format,
        log_requests=settings.log_requests,
    )
