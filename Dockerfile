# One file for both:
#   docker build -t vsr .                                                    (CPU)
#   docker build -t vsr:cuda --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 --build-arg TORCH=cu128 .
#   docker run --rm --network none -v "$PWD:/media" vsr upscale in.mp4 out.mp4         (add --gpus all for CUDA)
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE}

# Debian's and Ubuntu's own Python serves both bases; slim Python images have theirs already.
RUN command -v python3 >/dev/null && python3 -m venv --help >/dev/null 2>&1 || { \
        apt-get update && apt-get install -y --no-install-recommends python3 python3-venv python3-pip \
        && rm -rf /var/lib/apt/lists/*; }

# Which build of torch: `cpu`, or a CUDA version's name as torch's index spells it, such as cu128.
ARG TORCH=cpu
ENV PATH=/opt/vsr/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
RUN python3 -m venv /opt/vsr \
    && pip install --extra-index-url "https://download.pytorch.org/whl/${TORCH}" "torch>=2.10"

COPY . /src
RUN pip install /src && rm -rf /src

# No root: what decodes files from anywhere should own nothing.
RUN useradd --create-home --uid 10001 vsr && mkdir /media && chown vsr /media
USER vsr
WORKDIR /media
ENTRYPOINT ["vsr"]
CMD ["--help"]
