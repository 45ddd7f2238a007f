"""The settings of open_clip that this port reads; any other that is set is refused.

Their names are those of open_clip 3.3.0: CLIP and its CLIPVisionCfg and CLIPTextCfg,
PreprocessCfg, HFTokenizer.
"""

from vlp_jax.porting.description import Settings, refuse_unless

# Of training, of files to begin with, of towers that are refused by their name.
WITHOUT_EFFECT = {
    "model_cfg": {"init_logit_scale", "custom_text", "cast_dtype", "output_dict"},
    "vision_cfg": {
        "patch_dropout",
        "output_tokens",
        "attn_pooler_queries",
        "attn_pooler_heads",
        "timm_model_pretrained",
        "timm_proj_bias",
        "timm_drop",
        "timm_drop_path",
    },
    "text_cfg": {
        "pad_id",
        "output_tokens",
        "hf_model_pretrained",
        "hf_proj_type",
        "hf_pooler_type",
    },
    "preprocess_cfg": {"size", "fill_color"},
}
KINDS = {"act_kwargs": {"approximate"}, "norm_kwargs": {"eps"}}
TOWER = {"width", "layers", "mlp_ratio", "pool_type", *KINDS}
KNOWN = {
    "model_cfg": {
        "embed_dim",
        "vision_cfg",
        "text_cfg",
        "quick_gelu",
        "init_logit_bias",
    },
    "vision_cfg": TOWER
    | {"patch_size", "image_size", "head_width", "pos_embed_type"}
    | {"timm_model_name", "timm_pool", "timm_proj"},
    "text_cfg": TOWER
    | {"heads", "context_length", "vocab_size", "eos_id", "no_causal_mask"}
    | {"proj_bias", "proj_type", "hf_tokenizer_name", "tokenizer_kwargs"},
    "tokenizer_kwargs": {"clean"},
    "preprocess_cfg": {"mode", "mean", "std", "interpolation", "resize_mode"},
    **KINDS,
}


def check_known(section: str, given: Settings) -> None:
    """ConfigError for a section that sets what we do not read, or one within it.

    What is false or null there is switched off.
    """
    known = KNOWN[section] | WITHOUT_EFFECT.get(section, set())
    found = [name for name, value in given.items() if value and name not in known]
    refuse_unless(
        not found,
        f"{section} of open_clip_config.json sets {', '.join(found)}, which this port "
        "does not know",
    )
    for name in KNOWN.keys() & given.keys():
        check_known(name, given[name] or {})
