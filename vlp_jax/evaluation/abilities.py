"""What a model must be able to do for an evaluator."""

from vlp_jax.core.errors import RunError
from vlp_jax.core.types import Predictor

# ability -> (what it is, the kinds of models that have it).
ABILITIES = {
    "embed": ("embeds pictures and texts", "two_tower, albef, blip and coca"),
    "match": ("tells whether a text fits a picture", "albef, vilt and blip"),
    "generate": ("writes about pictures", "blip, coca, simvlm and captioner"),
    "answer": ("answers questions", "albef, vilt and blip"),
    "classify": (
        "tells classes apart",
        "image_classifier, text_classifier and two_tower",
    ),
    "classify_text": ("tells classes of texts apart", "text_classifier"),
}


def check_ability(predictor: Predictor, ability: str, who: str) -> None:
    """RunError unless the model can do what the evaluator `who` asks of it."""
    if predictor.can(ability):
        return
    what, kinds = ABILITIES[ability]
    name = type(getattr(predictor, "model", predictor)).__name__
    able = [name for name in ABILITIES if predictor.can(name)]
    raise RunError(
        f"{who} needs a model that {what}, and this {name} cannot (it can: "
        f"{', '.join(able) or 'nothing of the kind'}); models of kind {kinds} can"
    )
