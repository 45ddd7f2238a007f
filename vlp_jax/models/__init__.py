"""Models and their parts by name: to add one, write models/<name>.py and a line here.

A model has the parts that its fields name.
"""

from vlp_jax.models import sizes
from vlp_jax.models.albef import Albef
from vlp_jax.models.bert import Bert, Roberta
from vlp_jax.models.blip import Blip
from vlp_jax.models.captioner import Captioner
from vlp_jax.models.classifier import ImageClassifier, TextClassifier
from vlp_jax.models.coca import Coca
from vlp_jax.models.coca_layers import CocaFusion, CocaText
from vlp_jax.models.decoder import BertDecoder, Gpt2Decoder, PrefixDecoder
from vlp_jax.models.fusion import BertFusion
from vlp_jax.models.gpt2 import Gpt2
from vlp_jax.models.mixed_bert import MixedBert
from vlp_jax.models.modified_resnet import ModifiedResNet
from vlp_jax.models.resnet import ResNet
from vlp_jax.models.siglip import SiglipText, SiglipViT
from vlp_jax.models.simvlm import SimVlm
from vlp_jax.models.stream_vit import StreamViT
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vilt import Vilt
from vlp_jax.models.vit import PlainViT, ViT
from vlp_jax.models.vlm import TwoTower

MODELS = {
    "two_tower": TwoTower,
    "albef": Albef,
    "blip": Blip,
    "vilt": Vilt,
    "coca": Coca,
    "captioner": Captioner,
    "simvlm": SimVlm,
    "image_classifier": ImageClassifier,
    "text_classifier": TextClassifier,
}
IMAGE_TOWERS = {
    "vit": ViT,
    "plain_vit": PlainViT,
    "siglip_vit": SiglipViT,
    "modified_resnet": ModifiedResNet,
    "resnet": ResNet,
    "stream_vit": StreamViT,
}
TEXT_TOWERS = {
    "transformer": TextTransformer,
    "siglip_text": SiglipText,
    "bert": Bert,
    "mixed_bert": MixedBert,
    "roberta": Roberta,
    "gpt2": Gpt2,
    "coca_text": CocaText,
}
FUSIONS = {"bert": BertFusion, "coca": CocaFusion}
DECODERS = {"bert": BertDecoder, "gpt2": Gpt2Decoder, "prefix": PrefixDecoder}
PARTS = {
    "image": IMAGE_TOWERS,
    "text": TEXT_TOWERS,
    "fusion": FUSIONS,
    "decoder": DECODERS,
}

# What the `size` of a part stands for.
SIZES = {
    "vit": sizes.vit,
    "siglip_vit": sizes.vit,
    "plain_vit": sizes.vit,
    "stream_vit": sizes.vit,
    "modified_resnet": sizes.modified_resnet,
    "resnet": sizes.resnet,
    "transformer": sizes.text,
    "siglip_text": sizes.siglip_text,
    "bert": sizes.bert,
    "mixed_bert": sizes.bert,
    "roberta": sizes.roberta,
    "gpt2": sizes.gpt2,
    "coca_text": sizes.text,
    "coca": sizes.text,
    "prefix": sizes.prefix,
}
