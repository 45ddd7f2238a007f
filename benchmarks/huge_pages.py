"""One train step of the quickstart with and without huge pages for its memory.

python -m benchmarks.huge_pages      each side is a process of its own, in turn
"""

import os
import re
import subprocess
import sys
import tempfile

SIDES = {"default": "", "huge pages": "glibc.malloc.hugetlb=1"}
STEPS, ROUNDS = 40, 3


def images_per_second(tunables: str) -> float:
    """Speed of the last half of a short run under the given GLIBC_TUNABLES."""
    with tempfile.TemporaryDirectory() as workdir:
        command = [
            *(sys.executable, "-m", "vlp_jax.train", "--config=configs/quickstart.py"),
            f"--workdir={workdir}",
            f"--config.stop_after={STEPS}",
            f"--config.log_every={STEPS // 2}",
            "--config.evaluation.every=0",
        ]
        environment = os.environ | {"GLIBC_TUNABLES": tunables}
        run = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        )
    return float(re.findall(r"(\d+) images/s", run.stdout)[-1])


def main() -> None:
    found = {name: [] for name in SIDES}
    for _ in range(ROUNDS):  # in turn: the machine's speed drifts
        for name, tunables in SIDES.items():
            found[name].append(images_per_second(tunables))
            print(f"{name:12} {found[name][-1]:6.0f} images/s", flush=True)
    before, after = (sorted(speeds)[ROUNDS // 2] for speeds in found.values())
    print(f"median ratio {after / before:.2f}")


if __name__ == "__main__":
    main()
