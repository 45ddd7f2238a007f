"""Our ranks on the devices, as benchmarks/retrieval.py asks for them."""

import json
import os
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from benchmarks.peers.embeddings import RECALL_AT, embeddings, measured  # noqa: E402
from benchmarks.peers.side import serve  # noqa: E402
from vlp_jax.evaluation.device_ranks import retrieval_ranks_on_devices  # noqa: E402
from vlp_jax.evaluation.metrics.retrieval import recall_at_k  # noqa: E402
from vlp_jax.parallel.mesh import MeshSpec  # noqa: E402


def main() -> None:
    task, mesh = json.loads(sys.argv[1]), MeshSpec().make()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: task["cores"]])
    given = embeddings(task)

    def both() -> dict:
        ranks = retrieval_ranks_on_devices(*given, mesh)
        return {
            direction: {str(k): recall_at_k(found, k) for k in RECALL_AT}
            for direction, found in zip(("image", "text"), ranks, strict=True)
        }

    serve({"name": "vlp_jax"}, {"both": lambda: measured(both)})


if __name__ == "__main__":
    main()
