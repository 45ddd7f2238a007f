"""What texts look like before they are tokenized."""

from vlp_jax.data.canonical import (
    canonicalise_clip,
    canonicalise_open_clip,
    canonicalise_siglip,
)


def test_canonicalise_clip():
    assert canonicalise_clip(" A\tdog &amp;amp; a CAT\n&lt;3 ") == "a dog & a cat <3"
    assert canonicalise_clip("一只 狗") == "一只 狗"


def test_canonicalise_open_clip():
    """The values are those of open_clip 3.3.0."""
    texts = {
        " A\tdog &amp;amp; a CAT\n&lt;3 ": "A dog & a CAT <3",
        "\u201cit\u2019s\u201d O\u02bcahu": "\"it's\" O'ahu",
        "\u201elow\u201f \u2018so\u201b \u201aso": "\"low\" 'so' 'so",
        "&ldquo;red&rdquo;": '"red"',
        "一只 狗": "一只 狗",
    }
    assert {text: canonicalise_open_clip(text) for text in texts} == texts


def test_canonicalise_siglip():
    assert canonicalise_siglip("A photo_of:  the\tDog's\n Bone!") == (
        "a photo of the dogs bone"
    )
