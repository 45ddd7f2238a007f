"""A class of ours for two towers that transformers' own dual encoder cannot join.

Its ResNet says its width otherwise than all others do and pools to a grid of one place,
and its GPT-2 has no pooler. The class lies beside the weights (assets/dual_encoder.py),
where transformers looks for it: AutoModel.from_pretrained(folder,
trust_remote_code=True).
"""

from pathlib import Path

from vlp_jax.porting import hf_dual_encoder
from vlp_jax.porting.description import Description, Family, Settings, refuse_unless
from vlp_jax.porting.files import read_json
from vlp_jax.porting.weights import Rule, rule

CODE = Path(__file__).parent / "assets" / "dual_encoder.py"
CLASSES = {
    "AutoConfig": "dual_encoder.DualEncoderConfig",
    "AutoModel": "dual_encoder.DualEncoder",
    "AutoModelForZeroShotImageClassification": "dual_encoder.DualEncoder",
}
MODEL_TYPE = "vlp_jax_dual_encoder"


def rules(model: Settings) -> list[Rule]:
    has_bias = model.get("logit_bias_init") is not None
    bias = rule("logit_bias", "logit_bias") if has_bias else []
    return [*hf_dual_encoder.rules(model), *bias]


def write(description: Description) -> Settings:
    """config.json; ConfigError for what the class does not have."""
    return hf_dual_encoder.write_towers(description) | {
        "architectures": ["DualEncoder"],
        "auto_map": CLASSES,
        "model_type": MODEL_TYPE,
        "text_pool": description.model["text"]["pool"],
        "logit_bias_init_value": description.model.get("logit_bias_init"),
    }


def read(config: Settings) -> Settings:
    """Our model settings; ConfigError where some are missing."""
    needed = {"projection_dim", "text_pool", "logit_scale_init_value"}
    missing = ", ".join(sorted(needed - config.keys()))
    refuse_unless(not missing, f"config.json lacks {missing}; fetch it again")
    found = hf_dual_encoder.read(config)
    found["text"]["pool"] = config["text_pool"]
    if config.get("logit_bias_init_value") is not None:
        found["logit_bias_init"] = config["logit_bias_init_value"]
    return found


def is_whole(folder: Path) -> bool:
    """Whether a folder asks for this class alone and holds it to the byte.

    Only then may its code be run: that of others never is.
    """
    code = folder / CODE.name
    if list(folder.rglob("*.py")) != [code] or code.read_bytes() != CODE.read_bytes():
        return False
    asked = {
        path.name: read_json(path).get("auto_map") for path in folder.glob("*.json")
    }
    return asked.pop("config.json", None) == CLASSES and not any(asked.values())


def arguments(folder: Path) -> str:
    """What from_pretrained is given behind the folder, as people write it."""
    return ", trust_remote_code=True" if (folder / CODE.name).is_file() else ""


FAMILIES = {
    f"{MODEL_TYPE} of {one} + {other}": Family(pair, rules, write, read)
    for (one, other), pair in hf_dual_encoder.KINDS.items()
    if "resnet" in pair or "gpt2" in pair
}
