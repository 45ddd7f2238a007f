"""Retrieval in two stages on your own pictures and captions, as ALBEF reports it.

python -m vlp_jax.evaluate --checkpoint=W --output=OUT \\
    --config=configs/evaluate/reranked_retrieval.py \\
    --config.data.root=DIR --config.data.captions=captions.csv

Papers    Li et al. 2021 (ALBEF), arXiv:2107.07651; 2022 (BLIP), arXiv:2201.12086
Protocol  the first 128 answers of each query by embeddings (256 for COCO's 5,000
          pictures), ordered anew by how well each pair matches
Needs     a model that matches: of kind albef or blip
Settings  --config.evaluators.retrieval.rerank=256, .rerank_by=match_and_cosine
Cost      at most 128 pairs a picture and a caption: hours for 5,000 pictures on a CPU;
          .limit=500 looks at so many pictures only

COCO: --config.data.kind=coco_captions --config.data.root=data/coco \\
    --config.data.split=test; others in configs/data/.
"""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.data.kind = "image_folder"
    config.evaluators.retrieval = recipe.evaluator("retrieval", rerank=128)
    return config
