"""Towers with the weights of HF's BERT, RoBERTa, GPT-2 and ViT compute what they do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from tests.models import clip_pair, hf_towers
from tests.models.comparison import check_gradients, error
from tests.models.hf_towers import arrays_of, gradients_of, translate_tower


def weighted(pooled):
    """A scalar whose gradient reaches every number of every row."""
    rng = np.random.default_rng(3)
    return (pooled * rng.normal(size=pooled.shape).astype(np.float32)).sum()


def hf_model(kind):
    from transformers import AutoModel

    config = hf_towers.hf_config(kind)
    return clip_pair.with_weights(AutoModel.from_config(config).float().eval())


def hf_pooled(model, kind, pool, arrays):
    """What HF has for a pool of ours."""
    import torch

    dtype = next(model.parameters()).dtype
    if kind == "plain_vit":
        pixels = torch.tensor(arrays[0].transpose(0, 3, 1, 2)).to(dtype)
        found = model(pixel_values=pixels)
    else:
        ids, mask = (torch.tensor(x, dtype=torch.long) for x in arrays)
        found = model(input_ids=ids, attention_mask=mask)
    tokens = found.last_hidden_state
    if pool == "pooler":
        return found.pooler_output
    if pool == "class":
        return tokens[:, 0]
    mask = mask.to(dtype)
    if pool == "mean":
        return torch.einsum("btw,bt->bw", tokens, mask) / mask.sum(1, keepdim=True)
    return tokens[torch.arange(len(ids)), mask.sum(1).long() - 1]


def arrays_for(kind):
    """Pictures, or captions of one to all tokens with their mask."""
    if kind == "plain_vit":
        pictures = clip_pair.pictures().astype(np.float32)
        return ((pictures / 255 - 0.5) / 0.5,)
    return clip_pair.captions(hf_towers.END)


@pytest.mark.parametrize(
    ("kind", "pool", "scan"),
    [
        ("bert", "pooler", False),
        ("bert", "mean", True),
        ("roberta", "pooler", True),
        ("roberta", "class", False),
        ("gpt2", "last_unmasked", False),
        ("gpt2", "last_unmasked", True),
        ("plain_vit", "pooler", False),
        ("plain_vit", "class", True),
    ],
)
def test_equals_hf(kind, pool, scan):
    """Outputs and the gradient of every parameter, against both precisions."""
    theirs, arrays = hf_model(kind), arrays_for(kind)
    flat = translate_tower(kind, arrays_of(theirs))
    model = hf_towers.our_tower(kind, pool=pool, scan=scan)
    unused = {path for path in flat if "pooler" in path and pool != "pooler"}
    flat = {path: array for path, array in flat.items() if path not in unused}

    def loss(params):
        pooled = model.apply({"params": params}, *map(jnp.asarray, arrays))
        return weighted(pooled), pooled

    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, found), gradients = gradient(unflatten_dict(flat, sep="/"))
    for precision in ("float", "double"):
        oracle = getattr(theirs, precision)()
        expected = hf_pooled(oracle, kind, pool, arrays)
        assert error(found, expected.detach().numpy()) <= 1e-5
        oracle.zero_grad()
        weights = np.random.default_rng(3).normal(size=found.shape).astype(np.float32)
        (expected * expected.new_tensor(weights)).sum().backward()
        keys = [k for k in arrays_of(oracle) if "pooler" in k and unused]
        expected = translate_tower(kind, gradients_of(oracle, keys))
        check_gradients(gradients, {k: v for k, v in expected.items() if k in flat})


def test_roberta_counts_positions_over_the_mask():
    """With padding on the left as well, where HF counts over the ids."""
    theirs = hf_model("roberta")
    ids, mask = (x[:, ::-1].copy() for x in arrays_for("roberta"))
    flat = translate_tower("roberta", arrays_of(theirs))
    params = {"params": unflatten_dict(flat, sep="/")}
    model = hf_towers.our_tower("roberta", pool="mean")
    found = jax.jit(model.apply)(params, ids, mask)
    expected = hf_pooled(theirs, "roberta", "mean", (ids, mask)).detach().numpy()
    assert error(found, expected) <= 1e-5
