"""A spec says how it is used, and has the settings of its engine and no other."""

import pytest

from tests.launching.jobs import ROOT, SPECS, load
from vlp_jax.core.errors import ConfigError
from vlp_jax.launching import make_job
from vlp_jax.launching.spec import defaults, spec_of


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_says_how_it_is_used(name):
    spec = load(name)
    assert spec.engine == name
    assert f"--spec=launch/{name}.py" in (ROOT / "launch" / f"{name}.py").read_text()
    assert f"launch/{name}.py" in (ROOT / "launch" / "README.md").read_text()
    assert set(defaults(spec)) == set(spec) - {"engine"}


def test_a_spec_cannot_set_what_its_engine_lacks():
    with pytest.raises(AttributeError, match="nodes"):
        load("slurm").nods = 3
    with pytest.raises(ConfigError, match="unknown engine 'gke'.*known"):
        spec_of("gke")


def test_what_must_be_given_is_asked_for():
    spec = spec_of("xpk", name="a", command="b", image="i", tpu_type="v6e-256")
    with pytest.raises(ConfigError, match="needs the setting 'cluster'"):
        make_job(spec.to_dict())
