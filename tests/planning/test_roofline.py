"""The roofline of a step, by hand."""

import pytest

from vlp_jax.planning.hlo import Collective, Found
from vlp_jax.planning.roofline import Work, roofline
from vlp_jax.planning.topologies import Chip


def test_roofline_by_hand():
    chip = Chip(
        flops=1e12, hbm=1e9, hbm_bandwidth=1e11, ici_bandwidth=1e10, dimensions=2
    )
    found = Found((Collective("all-reduce", 4, 10, 2e8),), 0)
    work = Work(
        pairs=400,
        devices=4,
        flops=8e12,
        model_flops=1e10,
        resident_bytes=5e9,
        found=found,
    )
    roof = roofline(work, chip)
    assert roof.compute == pytest.approx(2.0)  # 8e12 / 4 devices / 1e12
    assert roof.hbm == pytest.approx(0.1)  # 2 x 5e9 / 1e11
    assert roof.ici == pytest.approx(0.03)  # 2 x 3/4 x 2e8 / 1e10
    assert (roof.step, roof.limit) == (roof.compute, "matrix products")
    assert roof.step_without_overlap == pytest.approx(2.13)
    assert roof.pairs_per_second == pytest.approx(200.0)
    assert roof.utilisation == pytest.approx(0.5)  # 200 x 1e10 / 4e12
