# syntax=docker/dockerfile:1
# Training on NVIDIA GPUs: docs/cuda.md, "In a container".
#   docker build -f docker/train.Dockerfile -t horovod-ocr-train .
#   docker run --rm --gpus all --shm-size=8g --network host -v /nfs:/nfs horovod-ocr-train \
#       horovodrun -np 4 -H localhost:4 horovod-ocr train --shards /nfs/shards --runs /nfs/runs
# torch brings CUDA, cuDNN and NCCL as wheels, and the build fetches nvcc in torch's version: the image needs no toolkit.
FROM python:3.11-slim-bookworm
ENV DEBIAN_FRONTEND=noninteractive PYTHONUNBUFFERED=1
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends build-essential cmake git openssh-client openssh-server \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/horovod-ocr
COPY . .
# --nccl: there is no driver while an image is built
RUN python -m venv .venv \
    && .venv/bin/pip install --no-cache-dir -e '.[train,serve,synth,horovod]' \
    && HOROVOD_OCR_CACHE=/tmp/cache scripts/build_horovod.sh --nccl .venv/bin/python \
    && rm -rf /tmp/cache
ENV PATH=/opt/horovod-ocr/.venv/bin:$PATH
CMD ["horovod-ocr", "--help"]
