"""Slices of TPU chips by name."""

import pytest

from vlp_jax.core.errors import ConfigError
from vlp_jax.planning import topologies


@pytest.mark.parametrize(
    ("name", "devices"),
    [("v5e:16x16", 256), ("v5p:8x8x8", 512), ("v4:2x2x1", 4), ("tpu7x:2x2x1", 8)],
)
def test_slices(name, devices):
    assert topologies.parse(name).devices == devices


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("v5x:4x4", "unknown chip .*'v5x'; known: tpu7x, v4, v5e, v5p, v6e.*did you"),
        ("v5e", "not of the form .*v5e:16x16"),
        ("v5e:2x2x2", "2 dimensions, such as v5e:4x4"),
        ("v5e:16x", "not of the form"),
        ("v5e:0x16", "not of the form"),
        ("v5p:8x8", "slices of v5p have 3 dimensions, such as v5p:4x4x4"),
    ],
)
def test_wrong_names_are_explained(name, said):
    with pytest.raises(ConfigError, match=said):
        topologies.parse(name)


def test_less_memory_than_is_built_in():
    assert topologies.parse("v5e:4x4", 2.0).chip.hbm == 2 * 2**30
    assert topologies.parse("v5e:4x4").chip.hbm == 15.75 * 2**30
    with pytest.raises(ConfigError, match="--hbm_gib=-1"):
        topologies.parse("v5e:4x4", -1)
