# One file for both (`make test-container` tries it, without an engine too):
#   docker build -t vsr .                                                                              (CPU)
#   docker build -t vsr:cuda --build-arg BASE=pytorch/pytorch:2.10.0-cuda12.8-cudnn9-runtime .         (CUDA)
#   docker run --rm --network none --user "$(id -u):$(id -g)" -v "$PWD:/media" vsr upscale in.mp4 out.mp4
# and --gpus all for CUDA. Without --user it runs as a user of its own, who may not write to your folder.
#
# A base that has torch keeps it. Without, pip's default is the CUDA build, gigabytes of it; where torch's CPU
# builds are served by an index of their own, name that index: --build-arg PIP_EXTRA_INDEX_URL=...
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}

ARG PIP_EXTRA_INDEX_URL=
ENV PATH=/opt/vsr/bin:$PATH

# The versions that the tests passed with, but for a torch that is there. The base's own pip is used, as Ubuntu's
# Python, and so the CUDA base's, lacks what puts one into an environment. OpenVINO's telemetry sends an event to its
# maker each time that it is imported, and works without the package that does.
COPY . /src
RUN if python3 -m pip show --quiet torch; then sed -i '/^torch==/d' /src/constraints.txt; fi \
    && python3 -m venv --without-pip --system-site-packages /opt/vsr \
    && /opt/vsr/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        -c /src/constraints.txt "/src[openvino]" \
    && /opt/vsr/bin/python -m pip uninstall --yes openvino-telemetry \
    && rm -rf /src

# No root: what decodes files from anywhere should own nothing.
RUN useradd --create-home --uid 10001 vsr && mkdir -p /media && chown vsr /media
USER vsr
WORKDIR /media
ENTRYPOINT ["vsr"]
CMD ["--help"]
