# One file for both:
#   docker build -t vsr .                                                                              (CPU)
#   docker build -t vsr:cuda --build-arg BASE=pytorch/pytorch:2.10.0-cuda12.8-cudnn9-runtime .         (CUDA)
#   docker run --rm --network none -v "$PWD:/media" vsr upscale in.mp4 out.mp4         (add --gpus all for CUDA)
#
# A base that has torch keeps it. Without, pip's default is the CUDA build, gigabytes of it; where torch's CPU
# builds are served by an index of their own, name that index: --build-arg PIP_EXTRA_INDEX_URL=...
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

ARG PIP_EXTRA_INDEX_URL=
ENV PATH=/opt/vsr/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1

COPY . /src
RUN python3 -m venv --system-site-packages /opt/vsr && pip install "/src[openvino]" && rm -rf /src

# No root: what decodes files from anywhere should own nothing.
RUN useradd --create-home --uid 10001 vsr && mkdir -p /media && chown vsr /media
USER vsr
WORKDIR /media
ENTRYPOINT ["vsr"]
CMD ["--help"]
