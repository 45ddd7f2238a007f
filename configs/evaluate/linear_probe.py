"""Linear probe on your own pictures, one folder per class, whole and few-shot.

python -m vlp_jax.evaluate --checkpoint=W --config=configs/evaluate/linear_probe.py \\
    --config.train.root=DIR/train --config.data.root=DIR/test --output=OUT

Paper     Radford et al. 2021 (CLIP), arXiv:2103.00020, appendix A.3
Protocol  logistic regression on image embeddings (L-BFGS, at most 1,000 iterations);
          the penalty l2 = 1 / C is searched in 1e-6 .. 1e6 on a fifth of the training
          pictures, then everything is trained on
Few-shot  --config.evaluators.linear_probe.shots="(1, 4, 16)", means and standard
          deviations of .draws=3 draws; one of n shots also takes min(n, 4) pictures of
          every class to choose its penalty by, unless .l2=0.1 gives one
Cost      one pass over both sets, then 16 small fits (15 more a draw), on all devices

CLIP's own numbers are from features before the projection, and so a little higher; see
docs/systems.md. Other data: --config.train.kind=imagenet and the like.
"""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.train.kind = "image_folder"
    config.data.kind = "image_folder"
    config.evaluators.linear_probe = recipe.evaluator("linear_probe")
    return config
