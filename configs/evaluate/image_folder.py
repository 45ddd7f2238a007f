"""Retrieval on your own pictures and captions.

python -m vlp_jax.evaluate --checkpoint=W --config=configs/evaluate/image_folder.py \\
    --config.data.root=DIR --config.data.captions=captions.csv --output=OUT

captions: a CSV or TSV with a header, or JSONL; several rows an image are its several
captions. Without it, the lines of a .txt beside each image are the captions.
"""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.data.kind = "image_folder"
    config.evaluators.retrieval = recipe.evaluator("retrieval")
    return config
