"""What port says of a model whose class is one of ours."""

import pytest

from tests.porting.random_models import random_model
from vlp_jax import endpoints


@pytest.fixture(scope="module")
def residual():
    image = dict(kind="resnet", depths=(1, 1), stem_width=4, block="bottleneck")
    text = dict(kind="gpt2", pool="last_unmasked", width=16, depth=2, heads=2)
    return random_model(image, text)


def test_port_proves_it_and_says_how_it_is_loaded(residual, tmp_path, capsys):
    """From a checkpoint of ours, running statistics among its weights."""
    from absl import flags
    from absl.testing import flagsaver

    from vlp_jax import port

    ours = endpoints.write(f"vlp:{tmp_path / 'ours'}", residual)
    target = tmp_path / "theirs"
    flags.FLAGS(["port"])
    with flagsaver.flagsaver(source=f"vlp:{ours}", target=f"hf:{target}"):
        port.main()
    printed = capsys.readouterr()
    said = " ".join(printed.out.split())
    assert printed.err == ""
    assert said.count("100% of the pictures the same best caption") == 2
    assert "trust_remote_code=True)" in said
    assert (
        'from_pretrained("DIR", trust_remote_code=True)'
        in (target / "README.md").read_text()
    )
    assert {path.name for path in target.iterdir()} == {
        "README.md",
        "config.json",
        "dual_encoder.py",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
