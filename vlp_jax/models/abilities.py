"""What a model can be used for, told by the outputs that it has."""

from collections.abc import Sequence

from flax import linen as nn

from vlp_jax.models.outputs import inputs_of, method_of

EMBEDDED = ("class_embedding",)
PROMPTS = ("class_tokens", "class_mask", "class_context")
DECODER = ("start", "next_logits")

# What a model that cannot do it lacks.
LACKING = {
    "embed": "it has no embeddings of pictures and texts to compare",
    "match": "it has no head that tells whether a text fits a picture",
    "generate": "it has no decoder that writes about pictures",
    "answer": "it has neither a decoder that is given questions nor classes of answers",
    "classify": "it has no classes of pictures",
    "classify_text": "it has no classes of texts",
}


def abilities(model: nn.Module, answers: Sequence[str]) -> dict[str, bool]:
    """Of those that LACKING names, which ones a model has; answers: its classes."""
    by_class = has(model, "answer_logits") and bool(answers)
    classes = class_inputs(model)
    return {
        "embed": has(model, "image_embedding", "text_embedding"),
        "match": has(model, "image_tokens", "match"),
        "generate": has(model, "caption_logits", *DECODER),
        "answer": writes_answers(model) or by_class,
        "classify": bool(classes) and "text_tokens" not in classes,
        "classify_text": "text_tokens" in classes,
    }


def writes_answers(model: nn.Module) -> bool:
    """Whether a decoder is given questions; classes of answers then have no say."""
    return has(model, "answer_token_logits", *DECODER)


def class_inputs(model: nn.Module) -> dict[str, bool]:
    """What a model computes its class_logits from; {} where it has none."""
    method = method_of(model, "class_logits")
    return {} if method is None else inputs_of(method)


def prompt_inputs(model: nn.Module) -> tuple[str, ...]:
    """What of the prompts of classes the class_logits of pictures are computed from.

    () where a head tells the classes. Prompts that depend on the picture are encoded
    with each of them; others once.
    """
    if "class_embedding" not in class_inputs(model):
        return ()
    return PROMPTS if getattr(model, "conditional_prompts", False) else EMBEDDED


def has(model: nn.Module, *names: str) -> bool:
    """Whether a model has all outputs of these names."""
    return all(method_of(model, name) is not None for name in names)
