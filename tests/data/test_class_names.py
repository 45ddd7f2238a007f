"""ImageNet's classes have names that a caption can use."""

from vlp_jax.data.class_names import imagenet_names, readable


def test_the_names_of_the_classes():
    names = imagenet_names()
    assert len(names) == 1000 and list(names) == sorted(names)
    assert [*names.values()][:2] == ["tench", "goldfish"]
    assert (names["n02012849"], names["n03126707"]) == (
        "crane bird",
        "construction crane",
    )
    assert [*names.values()][-1] == "toilet paper"
    assert readable(("n01440764", "n00000001", "a_b")) == ("tench", "n00000001", "a b")
