# `dnapair serve` and, with --target mlflow, the server of compose.yaml: docs/serving.md, docs/team.md
FROM python:3.11-slim-trixie AS base
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore \
    MLFLOW_DISABLE_TELEMETRY=true
# with a home, where Numba keeps what it compiled
RUN useradd --create-home --uid 10001 dnapair
WORKDIR /home/dnapair
COPY constraints.txt ./

FROM base AS mlflow
RUN pip install --constraint constraints.txt boto3 'mlflow[auth]' 'psycopg[binary]'
USER 10001
# the job runner is for generative models: 13 processes more
ENV MLFLOW_HOST=0.0.0.0 MLFLOW_WORKERS=2 MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/health')"]
CMD ["mlflow", "server"]

FROM base AS serve
# PyTorch without CUDA: some gigabytes less
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
# what the server imports, and no more: no TensorFlow, no DVC
RUN pip install --constraint constraints.txt fastapi huggingface-hub mlflow numba numpy openvino pandas psutil \
    pyarrow pydantic safetensors torch tqdm typer uvicorn
COPY pyproject.toml requirements.txt README.md LICENSE ./
COPY src src
RUN pip install --no-deps .
USER 10001
ENV DNAPAIR_MODEL=/model
EXPOSE 5001
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5001/ping')"]
ENTRYPOINT ["dnapair", "serve", "--host", "0.0.0.0"]
