# One image for web, worker, beat and migrations: docker-compose.yml says which runs what.

FROM python:3.13-slim AS base
WORKDIR /app

FROM base AS build
RUN pip install --no-cache-dir uv
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml .
# "--group esp" checks the signatures of SendGrid's events; "--group semantic" runs SEMANTIC_MODEL.
ARG EXTRA=
RUN uv sync --no-dev --no-cache $EXTRA
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
