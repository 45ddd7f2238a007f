"""What a model can be used for, told by the outputs that it has."""

from collections.abc import Sequence

from flax import linen as nn

from vlp_jax.models.outputs import inputs_of, method_of

# What a model that cannot do it lacks.
LACKING = {
    "embed": "it has no embeddings of pictures and texts to compare",
    "match": "it has no head that tells whether a text fits a picture",
    "generate": "it has no decoder that writes about pictures",
    "answer": "it has neither a decoder that is given questions nor classes of answers",
}


def abilities(model: nn.Module, answers: Sequence[str]) -> dict[str, bool]:
    """Of those that LACKING names, which ones a model has; answers: its classes."""

    def has(*names: str) -> bool:
        return all(method_of(model, name) is not None for name in names)

    written = inputs_of(method_of(model, "start")) if writes(model) else {}
    return {
        "embed": has("image_embedding", "text_embedding"),
        "match": has("image_tokens", "match"),
        "generate": bool(written) and not written.get("text_tokens", False),
        "answer": writes_answers(model) or (has("answer_logits") and bool(answers)),
    }


def writes(model: nn.Module) -> bool:
    """Whether a model has a decoder."""
    return None not in (method_of(model, "start"), method_of(model, "next_logits"))


def writes_answers(model: nn.Module) -> bool:
    """Whether its decoder is given questions; classes of answers then have no say."""
    return writes(model) and "text_tokens" in inputs_of(method_of(model, "start"))
