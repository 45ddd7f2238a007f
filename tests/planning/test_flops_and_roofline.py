"""FLOP against published figures, and the roofline by hand."""

import importlib

import jax
import jax.numpy as jnp
import pytest

from vlp_jax.parallel import collectives as parallel
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.planning.flops import matmul_flops
from vlp_jax.planning.hlo import Collective, Found
from vlp_jax.planning.program import StepProgram
from vlp_jax.planning.roofline import Work, roofline
from vlp_jax.planning.topologies import Chip

# GFLOP of a pair, forward and backward; OpenCLIP publishes a third of each as the
# forward pass (model_profile.csv: 14.78, 41.09, 175.33).
PUBLISHED = {"clip_vit_b32": 44.3, "clip_vit_b16": 123.3, "clip_vit_l14": 526.0}
PARAMETERS = {"clip_vit_b32": 151.3, "clip_vit_b16": 149.6, "clip_vit_l14": 427.6}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes(name):
    config = importlib.import_module(f"configs.pretrain.{name}").get_config()
    program = StepProgram(config, jax.devices(), is_tpu=False)
    assert program.model_flops / 1e9 == pytest.approx(PUBLISHED[name], rel=0.01)
    assert program.parameters / 1e6 == pytest.approx(PARAMETERS[name], abs=0.05)
    # Adam keeps two numbers beside each parameter; fsdp splits all but the small.
    split = 12 * program.parameters / program.mesh.shape["fsdp"]
    assert program.state_bytes == pytest.approx(split, rel=0.01)


def flops(function, *shapes):
    return matmul_flops(
        jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(s, "float32") for s in shapes))
    )


def test_products_and_batches():
    assert flops(lambda a, b: a @ b, (3, 5), (5, 7)) == 2 * 3 * 5 * 7
    assert flops(
        lambda a, b: jnp.einsum("bij,bkj->bik", a, b), (2, 3, 5), (2, 7, 5)
    ) == (2 * 2 * 3 * 5 * 7)


def test_loops_remat_and_branches():
    def scanned(x):
        return jax.lax.scan(lambda c, _: (c @ x, None), x, length=4)[0]

    assert flops(scanned, (3, 3)) == 4 * 2 * 27
    assert flops(lambda x: jax.checkpoint(lambda y: y @ y)(x), (3, 3)) == 2 * 27
    branches = [lambda x: x @ x @ x, lambda x: x]
    assert flops(lambda x: jax.lax.cond(True, *branches, x), (3, 3)) == 2 * 2 * 27


def test_remat_costs_what_it_computes_again():
    def loss(x, policy):
        def layer(y):
            return jnp.sin(jnp.sin(y @ x) @ x)

        return jax.checkpoint(layer, policy=policy)(x).sum()

    policies = jax.checkpoint_policies
    kept, again = (
        flops(jax.grad(lambda x, p=p: loss(x, p)), (4, 4))
        for p in (policies.everything_saveable, policies.nothing_saveable)
    )
    assert kept == 6 * 2 * 64 and again > kept


def test_work_inside_shard_map_counts_on_every_device():
    mesh = MeshSpec().make()
    rows = parallel.map_rows(
        lambda x: x @ x.T, mesh, in_specs=parallel.ROWS, out_specs=parallel.ROWS
    )
    assert flops(rows, (16, 5)) == 8 * 2 * 2 * 5 * 2


def test_a_convolution():
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    assert flops(convolve, (1, 8, 8, 3), (2, 2, 3, 5)) == 2 * (4 * 4 * 5) * (2 * 2 * 3)


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
