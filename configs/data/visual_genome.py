"""Visual Genome: 108,077 pictures, 5.4 M phrases about regions, 1.7 M questions.

Paper     Krishna et al. 2017, arXiv:1602.07332
Get it    https://homes.cs.washington.edu/~ranjay/visualgenome/api.html: images.zip,
          images2.zip, image_data.json.zip, region_descriptions.json.zip and, with
          --config.data.questions=True, question_answers.json.zip
Layout    data/vg/{VG_100K,VG_100K_2}/*.jpg, data/vg/*.json
Train     any recipe with --config.data.train.kind=visual_genome \\
              --config.data.train.root=data/vg, and before an evaluation on COCO
              --config.data.train.exclude_coco=data/coco/dataset_coco.json
Check     python -m vlp_jax.data_check --config=configs/data/visual_genome.py
"""

from vlp_jax import recipe


def get_config():
    return recipe.dataset("visual_genome", root="data/vg")
