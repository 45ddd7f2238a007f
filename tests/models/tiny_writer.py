"""A small model that can all but embed: match, caption, and answer in every way."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import linen as nn

from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.models.layers import Dense
from vlp_jax.models.predictor import ModelPredictor
from vlp_jax.models.text import TextTransformer
from vlp_jax.parallel.mesh import MeshSpec

WIDTH, LENGTH, ANSWERS = 16, 12, ("two", "red", "a dog")
PICTURES = np.random.default_rng(0).integers(0, 256, (21, 8, 8, 3)).astype(np.uint8)
QUESTIONS = [f"what is {n % 5} of it" for n in range(21)]


@functools.cache
def tokenizer(length=LENGTH):
    captions = ["a red dog sees two birds", "what is it of two dogs", *QUESTIONS]
    return Tokenizer.train(captions, 300, length)


class TinyChooser(nn.Module):
    """Matches, and knows classes of answers; its logits are far apart."""

    vocab_size: int
    answers: int = len(ANSWERS)

    def setup(self):
        self.patches = Dense(WIDTH, init_std=1.0)
        self.words = nn.Embed(self.vocab_size, WIDTH)
        self.text = TextTransformer(
            vocab_size=self.vocab_size,
            length=LENGTH,
            eos_id=3,
            width=WIDTH,
            depth=2,
            heads=2,
        )
        self.head = Dense(self.vocab_size, init_std=1.0)
        self.fits = Dense(2, init_std=0.5)
        self.classes = Dense(self.answers, init_std=0.5)

    def image_tokens(self, image):
        pixels = image.astype(jnp.float32) / 128 - 1
        patches = "b (row p) (column q) c -> b (row column) (p q c)"
        return self.patches(rearrange(pixels, patches, p=4, q=4))

    def match(self, image_tokens, text_tokens, text_mask):
        return self.fits(self._pooled(image_tokens, text_tokens, text_mask))

    def answer_logits(self, image_tokens, text_tokens, text_mask):
        return self.classes(self._pooled(image_tokens, text_tokens, text_mask))

    def _pooled(self, image_tokens, text_tokens, text_mask):
        return self.text(text_tokens, text_mask, image_tokens)

    def context(self, image_tokens, text_tokens=None, text_mask=None):
        """Questions are words beside the patches."""
        if text_tokens is None:
            return image_tokens
        words = 3 * self.words(text_tokens) * text_mask[..., None]
        return jnp.concatenate([image_tokens, words], axis=1)

    def caption_logits(self, image_tokens, text_tokens):
        return self.head(self.text(text_tokens, None, image_tokens, pooled=False))

    def __call__(self, images, tokens, mask):
        context = self.context(self.image_tokens(images), tokens, mask)
        return (
            self.match(context, tokens, mask),
            self.answer_logits(context, tokens, mask),
            self.caption_logits(context, tokens),
        )


class TinyWriter(TinyChooser):
    """Writes captions and answers."""

    def start(self, image_tokens, text_tokens=None, text_mask=None):
        return self.context(image_tokens, text_tokens, text_mask)

    def next_logits(self, memory, tokens, position):
        states = self.text(tokens, None, memory, None, position, pooled=False)
        return self.head(states)[:, 0]

    def answer_token_logits(self, image_tokens, text_tokens, text_mask, answer_tokens):
        context = self.context(image_tokens, text_tokens, text_mask)
        return self.caption_logits(context, answer_tokens)


@functools.cache
def model_and_variables():
    model = TinyWriter(tokenizer().vocab_size)
    tokens = np.zeros((1, LENGTH), np.int32)
    init = jax.jit(model.init)
    return model, init(jax.random.key(0), PICTURES[:1], tokens, tokens > -1)


def predictor(devices, batch_size, answers=()):
    """One that writes or, given classes of answers, one that chooses among them."""
    mesh = MeshSpec(devices).make(jax.devices()[:devices])
    model, variables = model_and_variables()
    if answers:
        model = TinyChooser(tokenizer().vocab_size)
    return ModelPredictor(
        model, variables, np.asarray, tokenizer(), mesh, batch_size, answers
    )
