"""GPT-2 as a text tower."""

from vlp_jax.models.text import TextTransformer


class Gpt2(TextTransformer, kw_only=True):
    """Text tower: GPT-2, read off the last token that is not padding.

    Radford et al. 2019, "Language models are unsupervised multitask learners". That
    token is the end of the text, which our tokenizer adds. GPT-2 has one id for start,
    end and padding, so the mask says where the text ends.
    """

    activation: str = "gelu_tanh"
    pool: str = "last_unmasked"
