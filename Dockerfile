# For CPUs and for CUDA. `make test-container` builds and tests it, also without docker or podman.
#   docker build -t vsr .                                                                              (CPU)
#   docker build -t vsr:cuda --build-arg BASE=pytorch/pytorch:2.10.0-cuda12.8-cudnn9-runtime .         (CUDA)
#   docker run --rm --network none --user "$(id -u):$(id -g)" -v "$PWD:/media" vsr upscale in.mp4 out.mp4
# For CUDA add --gpus all. Without --user the container runs as its own user, who may not write to your folder.
#
# If the base image has torch, that torch is kept. Otherwise pip installs its default, the CUDA build of several
# gigabytes. To get the CPU build, name the package index that serves it: --build-arg PIP_EXTRA_INDEX_URL=...
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

ARG PIP_EXTRA_INDEX_URL=
ENV PATH=/opt/vsr/bin:$PATH

# Installs the versions that the tests passed with (constraints.txt), except a torch that the base image has. The
# environment is made without pip and filled by the pip of the base image: the Python of Ubuntu, and so of the CUDA
# base image, has no ensurepip. OpenVINO's telemetry package sends an event at each import, and OpenVINO works without
# it, so it is removed.
COPY . /src
RUN if python3 -m pip show --quiet torch; then sed -i '/^torch==/d' /src/constraints.txt; fi \
    && python3 -m venv --without-pip --system-site-packages /opt/vsr \
    && /opt/vsr/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        -c /src/constraints.txt "/src[openvino]" \
    && /opt/vsr/bin/python -m pip uninstall --yes openvino-telemetry \
    && rm -rf /src

# A user without rights: files from unknown sources are decoded here.
RUN useradd --create-home --uid 10001 vsr && mkdir -p /media && chown vsr /media
USER vsr
WORKDIR /media
ENTRYPOINT ["vsr"]
CMD ["--help"]
