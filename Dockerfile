# An image for CPUs: see docs/install.md. TORCH_INDEX is the address of PyTorch's CPU builds.
FROM python:3.11-slim

ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# open3d is linked to OpenGL, X11 and OpenMP.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libx11-6 libgomp1 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
# Torch comes first, so that the CPU build is taken, and a change of the code does not install it again.
COPY constraints.txt ./
RUN pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} -c constraints.txt torch

COPY setup.py pyproject.toml README.md LICENSE CITATION.cff ./
COPY cli cli
COPY datasets datasets
COPY csgnn_dgl csgnn_dgl
RUN pip install -c constraints.txt ".[parquet]"

RUN useradd --uid 1000 --create-home csgnn && mkdir /data && chown csgnn /data
USER csgnn
WORKDIR /data
# Caches also work for other users.
ENV HOME=/tmp
ENTRYPOINT ["csgnn-dgl"]
CMD ["--help"]
