"""Captions for your own pictures, compared with those that people wrote.

python -m vlp_jax.evaluate --checkpoint=W --config=configs/evaluate/captioning.py \\
    --config.data.root=DIR --config.data.captions=captions.csv --output=OUT

Metrics   BLEU-1 to 4, ROUGE-L and CIDEr as pycocoevalcap computes them
Protocol  beams and lengths of BLIP (arXiv:2201.12086): 3 beams, at most 20 tokens
Needs     a model that writes: of kind blip, coca, simvlm or captioner
Settings  --config.evaluators.captioning.beams=1 (the likeliest token each time),
          .max_length=30, .min_length=5, .length_penalty=1.0, .prompt="a picture of"

COCO: --config.data.kind=coco_captions --config.data.root=data/coco \\
    --config.data.split=test; others in configs/data/.
"""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.data.kind = "image_folder"
    config.evaluators.captioning = recipe.evaluator("captioning")
    return config
