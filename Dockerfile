# The server, built from this tree: docker build -t modeld .
FROM python:3.12.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_REQUIRE_VIRTUALENV=0
WORKDIR /src

COPY deploy/build.lock deploy/server.lock deploy/
RUN python -m venv --without-pip /opt/modeld \
    && python -m pip install --require-hashes --only-binary :all: --requirement deploy/build.lock \
    && python -m pip --python /opt/modeld install --require-hashes --only-binary :all: --requirement deploy/server.lock

# What `modeld init` writes is partly this repository's own.
COPY pyproject.toml README.md LICENSE docker-compose.yml prometheus.yml ./
COPY grafana grafana
COPY daemon daemon
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
    && python -m pip --python /opt/modeld install --no-deps /wheel/*.whl

FROM python:3.12.11-slim-bookworm

# git tells what was live when, and takes the commits of changes that are made by calls.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git git-lfs openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --mode=1777 /var/lib/modeld

COPY --from=build /opt/modeld /opt/modeld

ENV HOME=/tmp \
    PATH=/opt/modeld/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MODELD_HOST=0.0.0.0 \
    MODELD_RUNTIME_DIR=/var/lib/modeld
WORKDIR /srv
VOLUME /var/lib/modeld
USER 1000:1000
EXPOSE 8000

# Alive, and not "ready": a server without a version that loads waits for one.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]

ENTRYPOINT ["modeld"]
CMD ["serve"]
