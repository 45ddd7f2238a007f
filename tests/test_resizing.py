"""A model for other sizes has the values that a run of those sizes would start with."""

import jax
import numpy as np
import pytest

from tests.porting import tiny_models
from tests.porting.random_models import TEXT, VIT, random_model, residual
from tests.porting.tiny_models import assert_same_bits, short
from tests.saved_runs import begun, saved
from vlp_jax import endpoints, proof
from vlp_jax.core import trees
from vlp_jax.core.errors import ConfigError
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.resizing import resized
from vlp_jax.transfer.initialise import RESIZED

SIGLIP = dict(kind="siglip_vit", width=12, depth=1, heads=3, patch_size=8)
# Makes a model, its pixels, and as many as positions can be made for.
MODELS = {
    "class token": (lambda: random_model(VIT), 32, 48),
    "no class token": (lambda: random_model(SIGLIP, project_image=False), 32, 16),
    "attention pooling": (residual, 64, 96),
}
IMAGE, TEXTS = "image/position_embedding", "text/position_embedding"


@pytest.fixture(scope="module", params=list(MODELS))
def sized(request):
    make, pixels, others = MODELS[request.param]
    return make(), pixels, others


@pytest.fixture(scope="module")
def model():
    return random_model(VIT)


def test_the_values_are_those_that_a_run_starts_with(tmp_path):
    """From its checkpoint, with other pixels and a shorter text."""
    run, _ = saved(tmp_path / "run", 5)
    run.store.close()
    given = endpoints.read(str(tmp_path / "run"))
    found, said = resized(given, image_size=48, text_length=16)
    _, state = begun(
        tmp_path / "other",
        initialise__checkpoint=str(tmp_path / "run"),
        preprocessing__image_size=48,
        tokenizer__length=16,
    )
    expected = {k: np.asarray(v) for k, v in trees.flatten(state.params).items()}
    assert expected.keys() == found.parameters.keys()
    scale = np.abs(expected[IMAGE]).max()
    assert np.abs(found.parameters[IMAGE] - expected.pop(IMAGE)).max() <= 1e-6 * scale
    assert_same_bits({path: found.parameters[path] for path in expected}, expected)
    assert said == [
        "pictures 24 -> 48 pixels",
        "texts 24 -> 16 tokens",
        f"{IMAGE} [5, 32] -> [17, 32]",
        f"{TEXTS} [24, 32] -> [16, 32]",
    ]
    config = found.config
    assert (config.preprocessing.image_size, config.tokenizer.length) == (48, 16)
    assert (found.name, found.step) == ("tiny", 5)


def test_nothing_else_changes(sized):
    model, pixels, others = sized
    found, said = resized(model, image_size=others)
    assert said[0] == f"pictures {pixels} -> {others} pixels" and len(said) == 2
    paths = model.parameters.keys() - {IMAGE}
    assert_same_bits(*({p: m.parameters[p] for p in paths} for m in (found, model)))
    before, after = model.parameters[IMAGE], found.parameters[IMAGE]
    with_class = len(before) % 2 == 1
    assert_same_bits({"class": after[:with_class]}, {"class": before[:with_class]})
    side = round((len(before) - with_class) ** 0.5) * others // pixels
    assert len(after) == side**2 + with_class
    picture = np.random.default_rng(0).integers(0, 256, (1, others, others, 3))
    encoded = found.predictor(MeshSpec().make(), 8).encode_image(
        picture.astype(np.uint8)
    )
    assert encoded.shape == (1, 12) and np.isfinite(encoded).all()
    assert model.config.preprocessing.image_size == pixels  # it is as it was


@pytest.mark.parametrize("kind", tiny_models.MODELS)
def test_transformers_computes_the_same(kind, tmp_path):
    """CLIP also with shorter texts; SigLIP reads their last position."""
    theirs = tiny_models.save(tiny_models.MODELS[kind](), tmp_path / "theirs")
    length = 9 if kind == "clip" else None
    found, _ = resized(endpoints.read(f"hf:{theirs}"), 20, length)
    folder = endpoints.write(f"hf:{tmp_path / 'larger'}", found)
    proofs = proof.prove("hf", folder, found)
    assert [p.side for p in proofs] == ["this package", "transformers"]
    assert all(p.holds for p in proofs)


def test_texts_that_fit_both_lengths_are_encoded_as_before(model):
    found, _ = resized(model, text_length=9)
    assert len(found.parameters[TEXTS]) == 9
    texts = ["a cat", "in"]
    assert (model.tokenizer(texts)[1].sum(axis=1) < 9).all()
    tokens, mask = found.tokenizer("long " * 30)
    assert tokens.shape == (1, 9) and mask.all()
    assert tokens[0, -1] == model.tokenizer.eos_id
    mesh = MeshSpec().make(jax.devices()[:1])
    one, other = (m.predictor(mesh, 4).encode_text(texts) for m in (found, model))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_positions_that_are_counted_from_two():
    """RoBERTa's: the rows of padding and of nothing stay."""
    tower = dict(kind="roberta", width=16, depth=1, heads=2, pool="class")
    model = random_model(VIT | {"kind": "plain_vit"}, tower)
    found, said = resized(model, text_length=9)
    assert said == ["texts 16 -> 9 tokens", f"{TEXTS} [18, 16] -> [11, 16]"]
    before, after = (m.parameters[TEXTS] for m in (model, found))
    assert_same_bits({"first": after}, {"first": before[:11]})


def test_what_is_not_asked_for_stays(model):
    assert resized(model) == (model, [])
    assert resized(model, image_size=32, text_length=16) == (model, [])


def test_it_knows_every_kind_of_position(model):
    assert {p for p in model.parameters if "position" in p} == {IMAGE, TEXTS}
    assert len(RESIZED) == 2  # of transfer/initialise.py


LAST = dict(text=TEXT | {"pool": "last", "causal": False})
REFUSED = {
    "no patches": (dict(), dict(image_size=36), "36 is not a multiple of .*size 8"),
    "nothing": (dict(), dict(image_size=0), "image_size is 0; expected at least 1"),
    "longer": (dict(), dict(text_length=17), "is 17, and the model has learned 16"),
    "no room": (dict(), dict(text_length=2), "length=2; expected .* above 2"),
    "last": (LAST, dict(text_length=9), "reads the last of its 16 positions"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_sizes_that_cannot_be(case):
    changes, sizes, said = REFUSED[case]
    with pytest.raises(ConfigError, match=said) as error:
        resized(random_model(**{"image": VIT, **changes}), **sizes)
    assert short(error)


def test_a_grid_that_cannot_be_halved():
    with pytest.raises(ConfigError, match="80, which cannot be halved 5 times") as e:
        resized(residual(), image_size=80)
    assert short(e)
