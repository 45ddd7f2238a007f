"""Unseen digit scenes, for models that match pictures and texts.

python -m vlp_jax.evaluate --checkpoint=runs/albef --output=OUT \\
    --config=configs/evaluate/matching_scenes.py

Retrieval  the first 16 answers of each query by embeddings, ordered anew by matching
Matching   captions of 500 scenes, and the same with one digit, colour, size or place
           changed; an even chance
"""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.data.update(kind="digit_scenes", split="test", size=500)
    config.evaluators.retrieval = recipe.evaluator("retrieval", rerank=16)
    config.evaluators.matching = recipe.evaluator("matching")
    return config
