"""Classification by nearest neighbours on your own pictures, one folder per class.

python -m vlp_jax.evaluate --checkpoint=W --config=configs/evaluate/knn.py \\
    --config.train.root=DIR/train --config.data.root=DIR/test --output=OUT

Papers    Wu et al. 2018, arXiv:1805.01978; Caron et al. 2021 (DINO), arXiv:2104.14294
Protocol  cosine of image embeddings, 20 neighbours, votes exp(cosine / 0.07)
Settings  --config.evaluators.knn.k=200, .vote=majority, .temperature=0.1;
          .train_limit=10000 looks at so many training pictures only
Cost      one pass over both sets; nothing is trained

Other data: --config.train.kind=imagenet --config.train.root=... and the same for
config.data. In a training recipe it is a monitor:
    config.evaluation.train = recipe.source("image_folder", root=...)
    config.evaluation.evaluators.knn = recipe.evaluator("knn", train_limit=10_000)
"""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.train.kind = "image_folder"
    config.data.kind = "image_folder"
    config.evaluators.knn = recipe.evaluator("knn")
    return config
