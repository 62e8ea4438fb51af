# One image: by itself the whole service with SQLite, and with docker-compose.yml web, worker, beat and
# migrations. .ci/image runs these steps without Docker.

FROM python:3.13-slim AS base
WORKDIR /app

FROM base AS build
RUN pip install --no-cache-dir uv
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml .
# "--group esp" checks the signatures of SendGrid's events; "--group semantic" runs SEMANTIC_MODEL.
ARG EXTRA=
# Without the tests of numpy, scipy and scikit-learn.
RUN uv sync --no-dev --no-cache $EXTRA && find .venv -type d -name tests -prune -exec rm -r {} +
COPY . .
# Django asks for a key to start with. This one signs nothing and stays nowhere.
RUN SECRET_KEY=unused .venv/bin/python manage.py collectstatic --noinput

FROM base
RUN useradd --system --create-home paperboy && install --directory --owner=paperboy /data
COPY --from=build /app .
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 DATA_DIR=/data
USER paperboy
VOLUME /data
EXPOSE 8000
# An address that ALLOWED_HOSTS lacks is answered with 400, and the service is alive.
HEALTHCHECK --start-period=60s --timeout=5s CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/healthz/live/'); exit(c.getresponse().status > 400)"]
CMD ["python", "manage.py", "serve", "--host", "0.0.0.0"]
