"""Losses by name. To add one, write objectives/<name>.py and a line here."""

from vlp_jax.objectives.alignment import WordPatchAlignment
from vlp_jax.objectives.answering import AnswerClasses, AnswerText
from vlp_jax.objectives.captioning import Captioning
from vlp_jax.objectives.classification import Classification
from vlp_jax.objectives.contrastive import Contrastive, NTXent
from vlp_jax.objectives.judging import Judging
from vlp_jax.objectives.masked_lm import MaskedLM
from vlp_jax.objectives.matching import Matching
from vlp_jax.objectives.momentum_contrast import MomentumContrast
from vlp_jax.objectives.nce import BinaryNCE, InfoNCE
from vlp_jax.objectives.prefix_lm import PrefixLM
from vlp_jax.objectives.sigmoid import Sigmoid

OBJECTIVES = {
    "contrastive": Contrastive,
    "sigmoid": Sigmoid,
    "info_nce": InfoNCE,
    "binary_nce": BinaryNCE,
    "nt_xent": NTXent,
    "matching": Matching,
    "judging": Judging,
    "momentum_contrast": MomentumContrast,
    "masked_lm": MaskedLM,
    "captioning": Captioning,
    "prefix_lm": PrefixLM,
    "answer_classes": AnswerClasses,
    "answer_text": AnswerText,
    "word_patch_alignment": WordPatchAlignment,
    "classification": Classification,
}
