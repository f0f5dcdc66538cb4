# Gateway, dispatcher and migrations: everything but the learning half, so no torch.
#   docker build -f docker/api.Dockerfile -t mfa-api:local .
FROM python:3.11-slim-bookworm AS packages
WORKDIR /app
COPY pyproject.toml requirements.lock ./
COPY docker/requirements.py docker/
# What the lock holds for workers and tests is not installed.
RUN python -m venv /opt/venv \
 && python docker/requirements.py > wanted.txt \
 && /opt/venv/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement wanted.txt

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 mfa \
 && useradd --uid 10001 --gid mfa --home-dir /tmp --no-create-home --shell /usr/sbin/nologin mfa \
 && install --directory --owner mfa --group mfa /data
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY alembic.ini ./
COPY migrations migrations
COPY configs configs
COPY core core
COPY workers workers
COPY api api
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MFA_DATA_DIR=/data \
    MFA_HOST=0.0.0.0
RUN python -m compileall -q /app
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
CMD ["python", "-m", "uvicorn", "--factory", "api.main:create_app", "--host", "0.0.0.0", "--port", "8000", \
     "--log-level", "warning", "--timeout-graceful-shutdown", "30"]
