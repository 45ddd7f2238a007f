#!/usr/bin/env bash
# From a fresh machine to a trained and evaluated model, in one command.
# Needs Python 3.11 or newer with pip; works from any directory and a second time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source launch/environment.sh

install requirements.txt
python -m vlp_jax.train --config=configs/quickstart.py --workdir=runs/quickstart
python -m vlp_jax.evaluate --checkpoint=runs/quickstart --output=runs/quickstart/eval
rm -rf exports/quickstart  # of an earlier run
python -m vlp_jax.port --source=vlp:runs/quickstart --target=hf:exports/quickstart
echo "Then: train on your own pictures; README.md shows how in three lines."
