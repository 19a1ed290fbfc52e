#!/bin/sh
# One script for a GPU, under ten minutes on one card: sh benchmarks/gpu.sh [FOLDER]
# It prints a table and leaves it and gpu.json in FOLDER. On a machine without a GPU: sh benchmarks/gpu.sh FOLDER --toy
set -eu
folder=${1:-artifacts/gpu}
[ $# -gt 0 ] && shift
cd "$(dirname "$0")/.."
PYTHONPATH="src${PYTHONPATH:+:$PYTHONPATH}" exec python benchmarks/gpu.py "$folder" "$@"
