"""A decoder of random tables, in JAX and as a model of Hugging Face's `generate`.

The logits are sums of the same float32 numbers in the same order, so both see the same
bits: by the last token, by the one before it (which is memory), by the place, and by
the row.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

VOCABULARY, LONGEST = 23, 16
PADDING, START, END = 1, 2, 3


@functools.cache
def tables(seed=0):
    """last [V, V], before [V, V], place [T, V]; END is ever likelier."""
    made = np.random.default_rng(seed)
    shapes = (VOCABULARY, VOCABULARY), (VOCABULARY, VOCABULARY), (LONGEST, VOCABULARY)
    last, before, place = (made.normal(0, 1, shape) for shape in shapes)
    place[:, END] = np.linspace(0, 8, LONGEST)
    return tuple(x.astype(np.float32) for x in (last, before, place))


def contexts(rows, seed=1):
    """What sets the rows apart, float32 [rows, V]."""
    made = np.random.default_rng(seed).normal(0, 1.5, (rows, VOCABULARY))
    return made.astype(np.float32)


def step(memory, tokens, position):
    """memory: the context and the token before, which is START before the prompt."""
    last, before, place = map(jnp.asarray, tables())
    context, earlier = memory
    logits = last[tokens[:, 0]] + before[earlier] + place[position] + context
    return logits, (context, tokens[:, 0])


def first_memory(context):
    return jnp.asarray(context), jnp.full(len(context), START, jnp.int32)


def theirs(context, start, **settings):
    """The ids that `generate` of transformers finds, prompt left out."""
    import torch
    from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutput

    last, before, place = map(torch.from_numpy, tables())

    class Config(PretrainedConfig):
        model_type = "random_decoder"
        vocab_size = VOCABULARY

    class Decoder(PreTrainedModel, GenerationMixin):
        config_class = Config

        def __init__(self, config):
            super().__init__(config)
            self.unused = torch.nn.Parameter(torch.zeros(()))
            self.post_init()

        def forward(self, input_ids, context=None, attention_mask=None, **kwargs):
            earlier = torch.nn.functional.pad(input_ids, (1, 0), value=START)[:, :-1]
            length = input_ids.shape[1]
            logits = last[input_ids] + before[earlier] + place[:length]
            return CausalLMOutput(logits=logits + context[:, None])

    found = Decoder(Config()).generate(
        torch.from_numpy(np.array(start, np.int64)),
        context=torch.from_numpy(context),
        use_cache=False,
        eos_token_id=END,
        pad_token_id=PADDING,
        **settings,
    )
    return found.numpy()[:, start.shape[1] :]


def ours(context, start, decoding, keys=None):
    """The same of `generate` here."""
    from vlp_jax.models.generate import generate

    @jax.jit
    def run(context, start):
        return generate(step, first_memory(context), start, decoding, keys)

    return np.asarray(run(context, jnp.asarray(start)))
