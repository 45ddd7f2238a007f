"""Every dataset of clip_benchmark's that lies in a folder, each as its type asks.

Data      the folders of https://huggingface.co/clip-benchmark, such as DIR/wds_cars and
          DIR/wds_mscoco_captions, as they are (or one of them as DIR):
            test/nshards.txt, test/0.tar, ...  the number of shards, and the shards:
                        key.jpg with key.cls (a class number) or key.txt (captions)
            classnames.txt                     for classification, a class a line
            zeroshot_classification_templates.txt      a prompt a line, {c} the class
            dataset_type.txt                   'retrieval' or 'multilabel', or none
Evaluate  python -m vlp_jax.evaluate --checkpoint=W --output=OUT \\
              --config=configs/evaluate/clip_benchmark.py --config.data.root=DIR

Class names and prompts are the folders' own. A quick look, with 1,000 pictures of each:
    --config.evaluators.zero_shot.limit=1000 --config.evaluators.retrieval.limit=1000
"""

from vlp_jax import recipe


def get_config():
    config = recipe.evaluation()
    config.suite = True
    config.data.kind = "clip_benchmark"
    config.evaluators.zero_shot = recipe.evaluator("zero_shot")
    config.evaluators.multi_label = recipe.evaluator("multi_label")
    config.evaluators.retrieval = recipe.evaluator("retrieval")
    return config
