"""A model that cannot do what an evaluator asks is refused in a line."""

import pytest

from tests.evaluation.predictors import Able, Samples
from vlp_jax.core.errors import RunError
from vlp_jax.core.lookup import call
from vlp_jax.evaluation import EVALUATORS
from vlp_jax.evaluation.abilities import ABILITIES, check_ability


@pytest.mark.parametrize(
    ("name", "settings", "kinds"),
    [
        ("matching", {}, "albef, vilt and blip can"),
        ("captioning", {}, "blip, coca, simvlm and captioner can"),
        ("vqa", {}, "albef, vilt and blip can"),
        ("retrieval", {"rerank": 5}, "albef, vilt and blip can"),
    ],
)
def test_before_anything_is_read(name, settings, kinds):
    source = Samples(RuntimeError("read"))
    evaluator = call(EVALUATORS[name], settings, name, source=source)
    with pytest.raises(RunError) as error:
        evaluator.run(Able([], embed=None))
    said = str(error.value)
    assert said.startswith(name) and said.endswith(kinds) and "\n" not in said
    assert "this Able cannot (it can: embed)" in said


def test_a_model_that_can_passes():
    every = Able([], **dict.fromkeys(ABILITIES))
    for ability in ABILITIES:
        check_ability(every, ability, "test")
    with pytest.raises(RunError, match="it can: nothing of the kind"):
        check_ability(Able([]), "match", "test")
