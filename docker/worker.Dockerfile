# Workers: everything, with torch and the default model.
#   docker build -f docker/worker.Dockerfile -t mfa-worker:local .                                     CUDA builds of torch
#   docker build -f docker/worker.Dockerfile -t mfa-worker:local --build-arg TORCH_INDEX=<url> .       CPU builds, from there
FROM python:3.11-slim-bookworm AS packages
# URL of a package index with torch AND torchaudio in the locked versions, as for `make setup`.
ARG TORCH_INDEX=""
WORKDIR /app
COPY pyproject.toml requirements.lock ./
COPY docker/requirements.py docker/
RUN python -m venv /opt/venv \
 && if [ -n "$TORCH_INDEX" ]; then \
      sed -nE 's/^((torch|torchaudio)==[^ ]+).*/\1/p' requirements.lock > torch.txt \
      && /opt/venv/bin/pip install --no-cache-dir --no-deps --index-url "$TORCH_INDEX" --requirement torch.txt; \
    fi \
 && python docker/requirements.py ${TORCH_INDEX:+--without-cuda} worker > wanted.txt \
 && /opt/venv/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement wanted.txt \
 && /opt/venv/bin/python -c 'import torchaudio'
# The weights come with a package, whose checksum is verified.
COPY core core
RUN /opt/venv/bin/python -m core.pretrained.musicnn /opt/models

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 mfa \
 && useradd --uid 10001 --gid mfa --home-dir /tmp --no-create-home --shell /usr/sbin/nologin mfa \
 && install --directory --owner mfa --group mfa /data
COPY --from=packages /opt/venv /opt/venv
COPY --from=packages /opt/models /opt/models
WORKDIR /app
COPY configs configs
COPY core core
COPY workers workers
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/tmp/numba \
    MPLCONFIGDIR=/tmp/matplotlib \
    MFA_DATA_DIR=/data
RUN python -m compileall -q /app
USER 10001:10001
HEALTHCHECK --interval=60s --timeout=20s --start-period=120s --retries=3 CMD ["python", "-m", "workers.health"]
CMD ["python", "-m", "celery", "-A", "workers.app", "-q", "worker", "--without-gossip", "--without-mingle", \
     "--without-heartbeat", "-Q", "plan,batch", "-n", "batch@%h", "-c", "2"]
