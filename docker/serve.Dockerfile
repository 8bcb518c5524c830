# syntax=docker/dockerfile:1
# An export behind HTTP: docs/serving.md, "In a container".
#   docker build -f docker/serve.Dockerfile -t horovod-ocr-serve .
#   docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/urdu.zip:/model.zip:ro" horovod-ocr-serve
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY sharding sharding
COPY horovod_ocr horovod_ocr
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir '.[serve]'

FROM python:3.11-slim-bookworm
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
RUN useradd --system --uid 10001 reader
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=3s --start-period=10s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
# 0.0.0.0 is inside of the container; -p above decides who reaches it
ENTRYPOINT ["horovod-ocr", "serve", "/model.zip", "--host", "0.0.0.0", "--port", "8000"]
