"""Prompts of classes and adapters of a config: training, loading and export share them.

Below build.py, which these belong to by what they do: ConfigDict -> objects.
"""

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vlp_jax.core.class_prompts import (
    CONTEXT,
    check_template,
    context_tokens,
    fill,
)
from vlp_jax.core.errors import ConfigError
from vlp_jax.core.lookup import call
from vlp_jax.data.tokenizers import Tokenizer
from vlp_jax.transfer.adapters import Adapter, Adapters
from vlp_jax.transfer.lora import Lora
from vlp_jax.transfer.prompt_tuning import Context
from vlp_jax.transfer.sharing import SharedEncoder


def class_names_of(config: ConfigDict) -> tuple[str, ...]:
    """Those of the streams `labels` and `texts`; () where a run reads neither."""
    return tuple(config.get("class_names") or ())


def template_of(config: ConfigDict) -> str:
    """The prompt of a class; a config of old has none, and the usual one."""
    prompts = config.get("prompts")
    return "a photo of a {}" if prompts is None else prompts.template


def context_of(config: ConfigDict) -> tuple[str, ...]:
    """The context tokens that a run learns; () where its prompts are only words."""
    prompts = config.get("prompts")  # configs of old have none
    return () if prompts is None or prompts.merged else learned_words(config)


def learned_words(config: ConfigDict) -> tuple[str, ...]:
    """The context tokens of a config's prompts, whether or not they are merged."""
    return context_tokens(template_of(config), class_names_of(config))


def with_context(config: ConfigDict, tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer of a run, which knows the context tokens of its prompts."""
    words = context_of(config)
    return tokenizer.with_context(words) if words else tokenizer


def make_class_prompts(config: ConfigDict, tokenizer: Tokenizer) -> dict:
    """The tokens and the mask of each class's prompt, by the names models ask for."""
    names = class_names_of(config)
    if not names:
        return {}
    check_template(config.prompts.template)
    prompts = fill(config.prompts.template, names)
    tokens, mask = tokenizer(prompts)
    if mask.all(axis=1).any():  # full, or cut
        whole = tokenizer.with_length(tokenizer.length + 1)(prompts)[1].sum(axis=1)
        if whole.max() > tokenizer.length:
            raise ConfigError(
                f"the prompt of {names[int(whole.argmax())]!r} does not fit into "
                f"tokenizer.length={tokenizer.length} tokens; set a longer one, or a "
                "shorter template"
            )
    context = tokenizer.is_context(tokens)
    arrays = {"class_tokens": tokens, "class_mask": mask, "class_context": context}
    return {name: jnp.asarray(array) for name, array in arrays.items()}


def make_adapters(config: ConfigDict, tokenizer: Tokenizer) -> Adapters:
    """The adapters of a run, or of the run that left a checkpoint."""
    found: list[Adapter] = []
    words = context_of(config)
    if words:
        _check_tower(config)
        _check_last(tokenizer, words)
        found.append(Context(len(words), _start(config, tokenizer, words)))
    else:
        _check_words(config)
    if config.get("share_encoder"):
        found.append(SharedEncoder())
    lora = config.get("lora")
    if lora is not None and lora.patterns is not None:
        keywords = dict(lora.items()) | {"patterns": tuple(lora.patterns)}
        found.append(call(Lora, keywords, "lora"))
    elif lora is not None and {*map(type, lora.values())} != {type(None)}:
        raise ConfigError(
            "lora.rank and lora.alpha need the matrices that LoRA changes; set "
            "--config.lora.patterns=\"('attention/(query|value)/kernel$',)\""
        )
    return Adapters(tuple(found))


def has_adapters(config: ConfigDict) -> bool:
    """Whether a checkpoint of this config has parameters that are not merged."""
    lora = config.get("lora")
    return bool(
        context_of(config)
        or config.get("share_encoder")
        or (lora is not None and lora.patterns)
    )


def merged_config(config: ConfigDict) -> ConfigDict:
    """The config of the same model when its adapters are merged."""
    config = config.copy_and_resolve_references()
    if context_of(config):
        config.prompts.merged = True
    if "lora" in config:
        config.lora.update(dict.fromkeys(config.lora))
        config.share_encoder = False
    return config


def _check_words(config: ConfigDict) -> None:
    """ConfigError for settings of learned words where there are none."""
    prompts = config.get("prompts")
    if prompts is None or prompts.merged:
        return
    given = {
        "prompts.start": prompts.start is not None,
        "model.conditional_prompts": bool(config.model.get("conditional_prompts")),
    }
    for name in (name for name, there in given.items() if there):
        raise ConfigError(
            f"{name} is of learned words, and prompts.template "
            f"{prompts.template!r} has none; write them as [v1] [v2] [v3] [v4] {{}}"
        )


def _check_last(tokenizer: Tokenizer, words: tuple[str, ...]) -> None:
    """ConfigError unless the context tokens are the last ones of the vocabulary."""
    first = tokenizer.vocab_size - len(words)
    if tokenizer.ids(words) != list(range(first, tokenizer.vocab_size)):
        raise ConfigError(
            f"the tokenizer knows some of the context tokens {', '.join(words[:4])} "
            "already, from another run; give them other numbers, as [v11] [v12], or "
            "start from the model that run started from"
        )


def _check_tower(config: ConfigDict) -> None:
    if config.model.get("kind") not in (None, "two_tower"):
        raise ConfigError(
            f"prompts.template {config.prompts.template!r} has learned words, which "
            "models of kind two_tower compare pictures with; write it in words"
        )
    if config.model.text.pool == "largest_id":
        raise ConfigError(
            "this text tower reads its text at the token with the largest id, which "
            "context tokens would have; set --config.model.text.pool=first_eos, which "
            "is the same for texts without them"
        )


def _start(
    config: ConfigDict, tokenizer: Tokenizer, words: tuple[str, ...]
) -> tuple[int, ...]:
    """The tokens that the context begins with, one for each; () without a start.

    ConfigError unless prompts then are, token by token, those with the words.
    """
    start = config.prompts.start
    if start is None:
        return ()
    prompts = fill(config.prompts.template, class_names_of(config))
    holes = [CONTEXT.findall(prompt) for prompt in prompts]
    tokens, mask = tokenizer([start])
    ends = _ends(tokenizer)
    ids = [int(i) for i in tokens[0][mask[0]] if i not in ends]
    if len(ids) != len(holes[0]):
        raise ConfigError(
            f"prompts.start={start!r} is {len(ids)} tokens of this tokenizer, and "
            f"prompts.template has {len(holes[0])} for a class; give as many "
            f"([v1] to [v{len(ids)}])"
        )
    found = {w: i for own in holes for w, i in zip(own, ids, strict=True)}
    _check_alike(tokenizer, prompts, found, words)
    return tuple(found[word] for word in words)


def _ends(tokenizer: Tokenizer) -> set[int]:
    """The tokens of an empty text: its start and its end."""
    tokens, mask = tokenizer([""])
    return set(tokens[0][mask[0]].tolist())


def _check_alike(tokenizer, prompts, start: dict[str, int], words) -> None:
    """ConfigError where a context token changes how what follows it is split."""
    ids = np.arange(tokenizer.vocab_size)
    first = tokenizer.vocab_size - len(words)
    ids[first:] = [start[word] for word in words]
    with_context, _ = tokenizer(prompts)
    plain = [
        CONTEXT.sub(lambda m: _word(tokenizer, start[m[0]]), prompt)
        for prompt in prompts
    ]
    if not np.array_equal(ids[with_context], tokenizer(plain)[0]):
        raise ConfigError(
            "this tokenizer splits words behind a context token in another way than "
            "behind a word, so that prompts.start cannot be what they begin with; "
            "leave prompts.start out (random context)"
        )


def _word(tokenizer: Tokenizer, token: int) -> str:
    """How a token is written."""
    return tokenizer.decode(np.array([[token]]))[0]
