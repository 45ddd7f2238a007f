"""Questions about pictures, answered: VQA v2.

Data      as of configs/data/vqa_v2.py: DIR/val2014/*.jpg, DIR/v2_*.json
Evaluate  python -m vlp_jax.evaluate --checkpoint=W --output=OUT \\
              --config=configs/evaluate/vqa.py --config.data.root=DIR
Metrics   the accuracy of the VQA challenge (arXiv:1505.00468), and exact matches
Needs     a model that answers: of kind albef, vilt or blip
Settings  --config.evaluators.vqa.candidates=answers.txt (one a line: the model chooses
          the likeliest of them), or 'answers', those that occur in the data;
          .limit=1000 asks about so many pictures only

Answers to the test splits are not public.
"""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.data.update(kind="vqa_v2", split="val")
    config.evaluators.vqa = recipe.evaluator("vqa")
    return config
