"""Prompts of classes, and the tokens in them that are learned."""

from vlp_jax.core.class_prompts import CONTEXT, context_tokens, fill

NAMES = ("cat", "{} dog")


def test_the_name_goes_where_the_template_says():
    assert fill("a {} here", NAMES) == ["a cat here", "a {} dog here"]
    assert fill("[v1] {} [v2]", NAMES) == ["[v1] cat [v2]", "[v1] {} dog [v2]"]


def test_each_class_has_its_own_tokens():
    assert fill("[c1] {} [c2]", NAMES) == ["[c1_0] cat [c2_0]", "[c1_1] {} dog [c2_1]"]
    assert context_tokens("[v1] [c1] {} [v2]", NAMES) == (
        "[v1]",
        "[c1_0]",
        "[v2]",
        "[c1_1]",
    )
    assert context_tokens("a photo of a {}", NAMES) == ()


def test_what_is_no_context():
    assert not CONTEXT.findall("[v] [x1] v1 [V1] [c1_] []")
