"""ResNet computes what HF's ResNetModel computes, running statistics included."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from tests.models import resnet_pair
from tests.models.comparison import check_gradients, error
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.models import sizes
from vlp_jax.models.convolution import STATISTICS
from vlp_jax.models.resnet import ResNet
from vlp_jax.models.text import TextTransformer
from vlp_jax.models.vlm import TwoTower
from vlp_jax.porting import hf_image_towers
from vlp_jax.porting.weights import to_ours, to_theirs

SIZE, WIDTH, DEPTHS, RATE = 44, 4, (2, 1, 1), 1e-3
KINDS = ("basic", "bottleneck")
# With some other pictures an activation is so near zero that rounding decides its sign,
# and HF's own gradients differ between float and double by percents.
BATCHES = [resnet_pair.pictures(SIZE, seed=seed) for seed in (5, 6)]
MODES = pytest.mark.parametrize("trains", [False, True], ids=["evaluates", "trains"])


def tower(block):
    return ResNet(depths=DEPTHS, stem_width=WIDTH, block=block)


def table(block):
    """The one of the port, with names as a tower alone has them."""
    return [
        dataclasses.replace(
            rule,
            ours=tuple(path.removeprefix("image/") for path in rule.ours),
            theirs=rule.theirs.removeprefix("vision_model."),
        )
        for rule in hf_image_towers.resnet({"depths": DEPTHS, "block": block})
    ]


def translate(block, theirs):
    """Of gradients, or of buffers."""
    return to_ours([rule for rule in table(block) if rule.theirs in theirs], theirs)


def direction(width):
    """The loss is the pooled grid along this."""
    return np.random.default_rng(3).normal(size=(6, width)).astype(np.float32)


def hf_model(block):
    """ResNetModel with the weights of ours; every key is used."""
    import torch
    from transformers import ResNetConfig, ResNetModel

    out = 4 if block == "bottleneck" else 1
    config = ResNetConfig(
        embedding_size=WIDTH,
        hidden_sizes=[WIDTH * out * 2**i for i in range(len(DEPTHS))],
        depths=list(DEPTHS),
        layer_type=block,
    )
    model = ResNetModel(config)
    ours = trees.flatten(trees.union(resnet_pair.variables(tower(block), SIZE)))
    theirs = to_theirs(table(block), ours)
    model.load_state_dict({k: torch.tensor(x) for k, x in theirs.items()})
    return model


def hf_steps(block, trains):
    """Two steps of plain descent: [(grid, pooled, gradients, statistics)]."""
    import torch

    model = hf_model(block).double().train(trains)
    found = []
    for images in BATCHES:
        output = model(torch.tensor(images.transpose(0, 3, 1, 2)).double())
        pooled = output.pooler_output[..., 0, 0]
        model.zero_grad()
        (pooled * torch.tensor(direction(pooled.shape[1]))).sum().backward()
        gradients = {k: p.grad.numpy().copy() for k, p in model.named_parameters()}
        with torch.no_grad():
            for p in model.parameters():
                p -= RATE * p.grad
        buffers = {k: b.numpy().copy() for k, b in model.named_buffers()}
        grid = output.last_hidden_state.detach().numpy().transpose(0, 2, 3, 1)
        found.append((grid, pooled.detach().numpy(), gradients, buffers))
    return found


@functools.partial(jax.jit, static_argnums=(0, 1))
def our_step(model, trains, variables, images):
    mutable = [STATISTICS] if trains else []

    def loss(params):
        pooled, changed = model.apply(
            {**variables, "params": params},
            images,
            mutable=mutable,
            capture_intermediates=lambda module, method: method == "features",
        )
        grid = changed.pop("intermediates")["features"][0]
        return (pooled * direction(model.width)).sum(), (grid, pooled, changed)

    gradients, (grid, pooled, changed) = jax.grad(loss, has_aux=True)(
        variables["params"]
    )
    params = jax.tree.map(lambda p, g: p - RATE * g, variables["params"], gradients)
    return {**variables, "params": params, **changed}, (grid, pooled, gradients)


@MODES
@pytest.mark.parametrize("block", KINDS)
def test_two_steps_equal_hf(block, trains):
    model = tower(block)
    variables, oracle = resnet_pair.variables(model, SIZE), hf_steps(block, trains)
    for images, theirs in zip(BATCHES, oracle, strict=True):
        before = variables[STATISTICS]
        variables, (grid, pooled, gradients) = our_step(
            model, trains, variables, images
        )
        assert grid.shape == (6, 3, 3, model.width)
        assert error(grid, theirs[0]) <= 1e-5
        assert error(pooled, theirs[1]) <= 1e-5
        check_gradients(gradients, translate(block, theirs[2]))
        found = trees.flatten(variables[STATISTICS])
        statistics = translate(block, theirs[3])
        assert found.keys() == statistics.keys()
        for path, value in statistics.items():
            assert error(found[path], value) <= 1e-5, path
        same = jax.tree.map(np.array_equal, before, variables[STATISTICS])
        assert jax.tree.all(same) == (not trains)


def test_the_grid_of_a_picture():
    """What a fusion model reads: 49 tokens of ResNet-18, 512 wide."""
    model = ResNet(**sizes.resnet("RN18"))
    pictures = jax.ShapeDtypeStruct((2, 224, 224, 3), np.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), pictures)
    run = functools.partial(jax.eval_shape, model.apply, variables, pictures)
    assert run().shape == (2, 512) == (2, model.width)
    grid = jax.eval_shape(
        functools.partial(model.apply, method="features"), variables, pictures
    )
    assert grid.shape == (2, 7, 7, 512)


def test_it_meets_a_text_tower():
    """Through the projection that every tower without one of its own gets."""
    text = dict(vocab_size=30, length=7, eos_id=2, width=8, depth=1, heads=2)
    model = TwoTower(
        ResNet(**sizes.resnet("RN18")),
        TextTransformer(**text),
        embedding_size=6,
        image_mean=(0.5,) * 3,
        image_std=(0.5,) * 3,
    )
    images = jax.ShapeDtypeStruct((2, 96, 80, 3), np.uint8)  # of any size
    tokens = jax.ShapeDtypeStruct((2, 7), np.int32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images, tokens)
    assert variables["params"]["image_projection"]["kernel"].shape == (512, 6)
    outputs = jax.eval_shape(model.apply, variables, images, tokens)
    assert [(x.shape, x.dtype) for x in outputs] == [((2, 6), np.float32)] * 2


CONV = """
kernel {}
norm/bias {}
norm/scale {}
""".split("\n")[1:-1]


def layer(path, *shape):
    kernel, bias, scale = (f"{path}/{line}" for line in CONV)
    return [kernel.format(shape), *(x.format(shape[-1:]) for x in (bias, scale))]


GOLDEN = {
    "basic": [
        *layer("stem", 7, 7, 3, 4),
        *layer("stage_1/block_0/conv_1", 3, 3, 4, 4),
        *layer("stage_1/block_0/conv_2", 3, 3, 4, 4),
        *layer("stage_2/block_0/conv_1", 3, 3, 4, 8),
        *layer("stage_2/block_0/conv_2", 3, 3, 8, 8),
        *layer("stage_2/block_0/shortcut", 1, 1, 4, 8),
        *layer("stage_2/block_1/conv_1", 3, 3, 8, 8),
        *layer("stage_2/block_1/conv_2", 3, 3, 8, 8),
    ],
    "bottleneck": [
        *layer("stem", 7, 7, 3, 4),
        *layer("stage_1/block_0/conv_1", 1, 1, 4, 4),
        *layer("stage_1/block_0/conv_2", 3, 3, 4, 4),
        *layer("stage_1/block_0/conv_3", 1, 1, 4, 16),
        *layer("stage_1/block_0/shortcut", 1, 1, 4, 16),
        *layer("stage_2/block_0/conv_1", 1, 1, 16, 8),
        *layer("stage_2/block_0/conv_2", 3, 3, 8, 8),
        *layer("stage_2/block_0/conv_3", 1, 1, 8, 32),
        *layer("stage_2/block_0/shortcut", 1, 1, 16, 32),
        *layer("stage_2/block_1/conv_1", 1, 1, 32, 8),
        *layer("stage_2/block_1/conv_2", 3, 3, 8, 8),
        *layer("stage_2/block_1/conv_3", 1, 1, 8, 32),
    ],
}


@pytest.mark.parametrize("block", KINDS)
def test_variable_paths(block):
    """Checkpoints, sharding, freezing and ports match on these."""
    model = ResNet(depths=(1, 2), stem_width=4, block=block)
    pictures = jax.ShapeDtypeStruct((2, 16, 16, 3), np.float32)
    found = jax.eval_shape(model.init, jax.random.key(0), pictures)
    params = trees.flatten(found["params"])
    assert sorted(f"{k} {x.shape}" for k, x in params.items()) == sorted(GOLDEN[block])
    norms = [path.rpartition("/")[0] for path in params if path.endswith("scale")]
    statistics = {f"{norm}/{name}" for norm in norms for name in ("mean", "variance")}
    assert set(trees.flatten(found[STATISTICS])) == statistics


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depths": ()}, r"model.image.depths is \(\); expected how many blocks"),
        ({"depths": (1, 0)}, r"model.image.depths is \(1, 0\); expected how many"),
        ({"block": "bottle"}, "unknown model.image.block 'bottle'.*'bottleneck'"),
        ({"remat": "all"}, "unknown remat policy 'all'"),
        ({"dtype": "float16"}, "unknown dtype 'float16'"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        model = ResNet(**{"depths": (1,), "stem_width": 4, **settings})
        jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 16, 16, 3)))
