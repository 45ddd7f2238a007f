#!/usr/bin/env bash
# Makes .venv-peers, or the folder given: the published PyTorch code that benchmarks and
# long tests compare with, apart from .venv because it wants other versions. Needs Python
# 3.11 or newer with pip; a second time it does nothing.
set -euo pipefail
folder="$(realpath --canonicalize-missing "${1:-"$(dirname "${BASH_SOURCE[0]}")/../../.venv-peers"}")"
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source launch/environment.sh

# clip_benchmark makes numbers of arrays of one element, which NumPy 2.4 refuses.
light=(numpy==2.2.6 pillow regex ftfy tqdm pyyaml huggingface_hub safetensors braceexpand)
light+=(scikit-learn requests faiss-cpu transformers==5.23.0)
# Without their requirements: any torchvision would do, and asks for a torch of its own.
peers=(open_clip_torch==3.3.0 torchvision==0.28.0 timm==1.0.29 webdataset==1.0.2)
peers+=(clip_benchmark==1.6.2 pycocoevalcap==1.2)

stamp="$folder/installed-$(cksum < tests/peers/install.sh | cut -d' ' -f1)"
if [[ ! -e "$stamp" ]]; then
    python="$(find_python)"
    echo "Making $folder with $("$python" --version) (a few minutes)"
    "$python" -m venv "$folder"
    pip=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check)
    "${pip[@]}" torch==2.13.0 "${light[@]}"
    "${pip[@]}" --no-deps "${peers[@]}"
    touch "$stamp"
fi
echo "$folder"
