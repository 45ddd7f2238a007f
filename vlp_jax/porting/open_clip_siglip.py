"""open_clip's SigLIP: timm's ViT with attention pooling, and its own text tower.

timm knows the published sizes only, and fixes activation and epsilon (1e-6). With the
towers of SigLIP 1 both libraries compute the exact gelu, where transformers and
big_vision compute the tanh one: each is read as it says.
"""

import re

from vlp_jax.porting import open_clip_clip as clip
from vlp_jax.porting.description import (
    Description,
    Family,
    Settings,
    hidden_width,
    refuse_unless,
)
from vlp_jax.porting.open_clip_settings import check_known
from vlp_jax.porting.weights import (
    LEADING_1,
    LEADING_1_1,
    PATCHES,
    Rule,
    linear,
    norm,
    rule,
    stack_linear,
)

TRUNK = "visual.trunk"
# The activation of each tower, as timm 1.0.29 builds it.
TOWERS = {
    "vit_base_patch16_siglip_224": "gelu",
    "vit_base_patch16_siglip_256": "gelu",
    "vit_base_patch16_siglip_384": "gelu",
    "vit_base_patch16_siglip_512": "gelu",
    "vit_base_patch32_siglip_256": "gelu_tanh",
    "vit_giantopt_patch16_siglip_256": "gelu_tanh",
    "vit_giantopt_patch16_siglip_384": "gelu_tanh",
    "vit_large_patch16_siglip_512": "gelu_tanh",
    "vit_large_patch16_siglip_256": "gelu",
    "vit_large_patch16_siglip_384": "gelu",
    "vit_so400m_patch14_siglip_224": "gelu",
    "vit_so400m_patch14_siglip_378": "gelu",
    "vit_so400m_patch14_siglip_384": "gelu",
    "vit_so400m_patch16_siglip_256": "gelu_tanh",
    "vit_so400m_patch16_siglip_384": "gelu_tanh",
    "vit_so400m_patch16_siglip_512": "gelu_tanh",
}
NAME = re.compile(r"vit_(\w+)_patch(\d+)_siglip_(\d+)")  # the last: pixels
# width, depth, heads, mlp_ratio
SIZES = {
    "base": (768, 12, 12, 4.0),
    "large": (1024, 24, 16, 4.0),
    "so400m": (1152, 27, 16, 3.7362),
    "giantopt": (1536, 40, 16, 4.0),
}


def trunk(depth: int) -> list[Rule]:
    """timm's VisionTransformer."""
    found = []
    for i in range(depth):
        block, layer = f"image/encoder/block_{i}", f"{TRUNK}.blocks.{i}"
        attention = f"{block}/attention"
        found += norm(f"{block}/norm_1", f"{layer}.norm1")
        found += norm(f"{block}/norm_2", f"{layer}.norm2")
        found += stack_linear(
            attention, ("query", "key", "value"), f"{layer}.attn.qkv."
        )
        found += linear(f"{attention}/out", f"{layer}.attn.proj")
        found += linear(f"{block}/mlp/in", f"{layer}.mlp.fc1")
        found += linear(f"{block}/mlp/out", f"{layer}.mlp.fc2")
    return found


def pool() -> list[Rule]:
    """timm's AttentionPoolLatent."""
    ours, theirs = "image/pool", f"{TRUNK}.attn_pool"
    return [
        *rule(f"{ours}/probe", f"{theirs}.latent", LEADING_1_1),
        *linear(f"{ours}/attention/query", f"{theirs}.q"),
        *stack_linear(f"{ours}/attention", ("key", "value"), f"{theirs}.kv."),
        *linear(f"{ours}/attention/out", f"{theirs}.proj"),
        *norm(f"{ours}/norm", f"{theirs}.norm"),
        *linear(f"{ours}/mlp/in", f"{theirs}.mlp.fc1"),
        *linear(f"{ours}/mlp/out", f"{theirs}.mlp.fc2"),
    ]


def rules(model: Settings) -> list[Rule]:
    """open_clip.model.CustomTextCLIP with a TimmModel."""
    patches = f"{TRUNK}.patch_embed.proj"
    text = [
        Rule(r.ours, f"text.{r.theirs}", r.change, r.constant) for r in clip.text(model)
    ]
    return [
        *clip.scalars(model),
        *rule("image/patch_embedding/kernel", f"{patches}.weight", PATCHES),
        *rule("image/patch_embedding/bias", f"{patches}.bias"),
        *rule("image/position_embedding", f"{TRUNK}.pos_embed", LEADING_1),
        *trunk(model["image"]["depth"]),
        *norm("image/norm_post", f"{TRUNK}.norm"),
        *pool(),
        *text,
    ]


def write(description: Description) -> Settings:
    """model_cfg; ConfigError for sizes that timm does not have."""
    model, image = description.model, description.model["image"]
    refuse_unless(
        not model.get("project_image", True)
        and bool(model.get("text_projection_bias"))
        and model.get("logit_bias_init") is not None,
        "open_clip's SigLIP has a logit_bias, no image projection and a bias in the "
        "text projection; this model is another",
    )
    towers = {name: _shape(name) for name in TOWERS}
    size = description.preprocessing["image_size"]
    shape = (*_shape_of(image), size)
    refuse_unless(
        shape in towers.values(),
        "timm, which open_clip takes SigLIP's image tower from, has none with "
        f"(width, depth, heads, hidden, patch, activation, epsilon, pixels) = "
        f"{shape}. Export to hf: instead",
    )
    name = next(name for name, known in towers.items() if known == shape)
    vision = {
        "image_size": size,
        "timm_model_name": name,
        "timm_model_pretrained": False,
        "timm_pool": "map",
        "timm_proj": "none",
    }
    return clip.write_model(description, vision) | {"custom_text": True}


def _shape(name: str) -> tuple:
    """What timm fixes by the name of a tower."""
    size, patch, pixels = NAME.fullmatch(name).groups()
    width, depth, heads, ratio = SIZES[size]
    hidden = int(width * ratio)  # timm truncates
    shape = (width, depth, heads, hidden, int(patch), TOWERS[name], 1e-6)
    return (*shape, int(pixels))


def _shape_of(image: Settings) -> tuple:
    """The same of a tower of ours, without the pixels."""
    names = ("width", "depth", "heads")
    rest = (image["patch_size"], image["activation"], image["norm_epsilon"])
    return (*(image[name] for name in names), hidden_width(image), *rest)


def read(config: Settings) -> Settings:
    """Our model settings; ConfigError for what our towers lack."""
    check_known("model_cfg", config)
    image = config["vision_cfg"]
    name = image.get("timm_model_name")
    pooled = (image.get("timm_pool"), image.get("timm_proj")) == ("map", "none")
    refuse_unless(
        name in TOWERS and pooled,
        f"the image tower is timm's {name!r}; of timm this port knows those of SigLIP, "
        f"with timm_pool=map: {', '.join(TOWERS)}",
    )
    width, depth, heads, hidden, patch, activation, epsilon, pixels = _shape(name)
    given = image.get("image_size")
    refuse_unless(
        given in (pixels, [pixels, pixels]),
        f"vision_cfg has image_size={given}; expected {pixels}, which timm fixes by "
        f"the name {name}",
    )
    tower = {
        "kind": "siglip_vit",
        "patch_size": patch,
        "width": width,
        "depth": depth,
        "heads": heads,
        "mlp_ratio": hidden / width,
        "activation": activation,
        "norm_epsilon": epsilon,
    }
    found = clip.read_model(config, tower)
    return found | {
        "project_image": False,
        "logit_scale_init": 2.3025851,
        "text": found["text"] | {"kind": "siglip_text"},
    }


FAMILY = Family(
    kinds=("siglip_vit", "siglip_text"),
    rules=rules,
    write=write,
    read=read,
    ignored=clip.FAMILY.ignored,
)
