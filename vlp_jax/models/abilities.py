"""What a model can be used for, told by the outputs that it has."""

from collections.abc import Sequence

from flax import linen as nn

from vlp_jax.models.outputs import method_of

DECODER = ("start", "next_logits")

# What a model that cannot do it lacks.
LACKING = {
    "embed": "it has no embeddings of pictures and texts to compare",
    "match": "it has no head that tells whether a text fits a picture",
    "generate": "it has no decoder that writes about pictures",
    "answer": "it has neither a decoder that is given questions nor classes of answers",
}


def abilities(model: nn.Module, answers: Sequence[str]) -> dict[str, bool]:
    """Of those that LACKING names, which ones a model has; answers: its classes."""
    by_class = has(model, "answer_logits") and bool(answers)
    return {
        "embed": has(model, "image_embedding", "text_embedding"),
        "match": has(model, "image_tokens", "match"),
        "generate": has(model, "caption_logits", *DECODER),
        "answer": writes_answers(model) or by_class,
    }


def writes_answers(model: nn.Module) -> bool:
    """Whether a decoder is given questions; classes of answers then have no say."""
    return has(model, "answer_token_logits", *DECODER)


def has(model: nn.Module, *names: str) -> bool:
    """Whether a model has all outputs of these names."""
    return all(method_of(model, name) is not None for name in names)
