"""HF's CLIPModel and our TwoTower with the same weights, small enough for a test."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np

from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vit import ViT
from vlp_jax.models.vlm import TwoTower
from vlp_jax.objectives.softmax import dense_softmax
from vlp_jax.porting import hf_clip
from vlp_jax.porting.weights import to_ours

SIZE, PATCH, LENGTH, VOCABULARY, EMBEDDING = 12, 4, 10, 40, 12
MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
IMAGE = dict(width=24, depth=2, heads=3)
TEXT = dict(width=16, depth=2, heads=2)


def with_weights(model, **given):
    """The torch model with random weights, large enough to matter, and the given."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_gain = re.search(r"(norm|ln_)\w*\.weight$", name.lower())
            parameter.copy_(0.3 * noise + (1.0 if is_gain else 0.0))
            if name in given:
                parameter.fill_(given[name])
    return model


def hf_model(activation, eos_id):
    """CLIPModel in float32."""
    from transformers import CLIPConfig, CLIPModel

    def shape(width, depth, heads):
        return dict(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            hidden_act=activation,
            projection_dim=EMBEDDING,
        )

    config = CLIPConfig(
        vision_config=shape(**IMAGE) | dict(image_size=SIZE, patch_size=PATCH),
        text_config=shape(**TEXT)
        | dict(
            vocab_size=VOCABULARY,
            max_position_embeddings=LENGTH,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=eos_id,
        ),
        projection_dim=EMBEDDING,
        attn_implementation="eager",
    )
    model = CLIPModel(config).float().eval()
    return with_weights(model, logit_scale=2.0)


def our_model(activation, eos_id, **settings):
    """TwoTower of the same shape; HF's rule for the end of text depends on eos_id."""
    given = dict(activation=activation, **settings)
    return TwoTower(
        image=ViT(image_size=SIZE, patch_size=PATCH, **IMAGE, **given),
        text=TextTransformer(
            vocab_size=VOCABULARY,
            length=LENGTH,
            eos_id=eos_id,
            pool="largest_id" if eos_id == 2 else "first_eos",
            **TEXT,
            **given,
        ),
        embedding_size=EMBEDDING,
        image_mean=MEAN,
        image_std=STD,
    )


def translate(theirs):
    """{their key: array} -> {our path: array}; every key is used exactly once."""
    return to_ours(hf_clip.rules({"image": IMAGE, "text": TEXT}), theirs)


def captions(eos_id, rows=6):
    """Token ids and mask: captions of several lengths, ended and padded.

    For the old rule (eos id 2) the end of the text is the largest id of all.
    """
    rng = np.random.default_rng(1)
    end = VOCABULARY - 1 if eos_id == 2 else eos_id
    ids = rng.integers(3, VOCABULARY - 2, (rows, LENGTH)).astype(np.int32)
    ids[ids == end] = 3
    ends = [LENGTH - 1, 1, 4, 6, 3, 8][:rows]
    for row, at in enumerate(ends):
        ids[row, at], ids[row, at + 1 :] = end, 1
    return ids, np.arange(LENGTH) <= np.array(ends)[:, None]


def pictures(rows=6):
    rng = np.random.default_rng(2)
    return rng.integers(0, 256, (rows, SIZE, SIZE, 3)).astype(np.uint8)


def our_outputs(params, model, image, ids, mask):
    """What HF's forward with return_loss gives, under HF's names."""
    variables = {"params": params}
    image = model.apply(variables, image, method="image_embedding")
    text = model.apply(variables, ids, mask, method="text_embedding")
    logit_scale = params["logit_scale"]
    rows = jnp.arange(len(image))
    total = dense_softmax(image, text, logit_scale, rows >= 0, rows)
    return total / len(image), {
        "image_embeds": image,
        "text_embeds": text,
        "logits_per_image": jnp.exp(logit_scale) * image @ text.T,
    }


def value_and_gradients(model):
    """(params, pictures, ids, mask) -> ((loss, outputs), gradients), compiled."""
    function = functools.partial(our_outputs, model=model)
    return jax.jit(
        lambda params, *arrays: jax.value_and_grad(
            lambda p: function(p, image=arrays[0], ids=arrays[1], mask=arrays[2]),
            has_aux=True,
        )(params)
    )
