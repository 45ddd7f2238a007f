"""FLOP of products, convolutions, loops and remat, counted by hand."""

import jax
import jax.numpy as jnp

from vlp_jax.parallel import collectives as parallel
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.planning.flops import matmul_flops


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


def test_the_gradient_of_a_strided_convolution_costs_twice_its_value():
    """The zeros that it puts between the places of its input are no work."""

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def both(x, kernel):
        return jax.vjp(convolve, x, kernel)[1](jnp.ones((1, 4, 4, 5)))

    shapes = (1, 8, 8, 3), (2, 2, 3, 5)
    assert flops(both, *shapes) == 3 * flops(convolve, *shapes)
