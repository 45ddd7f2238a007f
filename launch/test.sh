#!/usr/bin/env bash
# Installs what the tests need and runs them; --all adds the long ones.
# Needs Python 3.11 or newer with pip; works from any directory and a second time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh

install tests/requirements.txt
ruff check .
ruff format --check .
# Two processes: half of the time goes to compilations, which one core makes.
# In the order of the files: else those of few and long tests, end to end, come last,
# where one process waits for the other.
python -m pytest --durations=15 --numprocesses=2 --dist=loadfile \
    --no-loadscope-reorder "$@"
