"""Collectives are read from program text as the compilers write it."""

from pathlib import Path

import jax
import pytest

from vlp_jax.parallel import collectives as parallel
from vlp_jax.parallel.mesh import MeshSpec
from vlp_jax.planning import hlo
from vlp_jax.planning.hlo import Collective

MODULE = Path(__file__).with_name("step.hlo").read_text()


def test_a_module_of_every_kind():
    found = hlo.collectives(MODULE, devices=8)
    assert found.unknown_loops == 0
    assert found.collectives == (
        Collective("all-gather", 4, 1, 16 * 16 * 2),
        Collective("all-reduce", 4, 1, 8 * 128 * 4 + 4 * 2),
        Collective("collective-permute", 8, 12, 12 * 8 * 128 * 4),
        Collective("reduce-scatter", 4, 1, 2 * 128 * 4),
    )


def test_a_loop_may_say_its_length_or_hide_it():
    noted = MODULE.replace(
        "body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"5"}}'
    )
    found = hlo.collectives(noted, devices=8)
    assert [c.count for c in found.collectives if "permute" in c.kind] == [5]
    hidden = MODULE.replace("constant(12)", "parameter(1)")
    found = hlo.collectives(hidden, devices=8)
    assert found.unknown_loops == 1
    assert [c.count for c in found.collectives if "permute" in c.kind] == [1]


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        ("all-reduce", 150.0),
        ("all-gather", 75.0),
        ("reduce-scatter", 300.0),
        ("collective-permute", 100.0),
    ],
)
def test_bytes_sent_on_a_ring_of_four(kind, sent):
    assert Collective(kind, 4, 1, 100.0).sent == sent


def test_a_program_of_this_compiler():
    """An all-gather inside a scan of three, as XLA really writes it."""
    mesh = MeshSpec().make()

    def local(x):
        def visit(total, factor):
            return total + (parallel.gather_rows(x * factor) ** 2).sum(), None

        start = parallel.varying(jax.numpy.zeros(()))
        total, _ = jax.lax.scan(visit, start, jax.numpy.arange(3.0))
        return parallel.sum_over_rows(total)

    rows = parallel.map_rows(
        local, mesh, in_specs=parallel.ROWS, out_specs=parallel.SAME
    )
    place = jax.sharding.NamedSharding(mesh, parallel.ROWS)
    x = jax.ShapeDtypeStruct((64, 5), "float32", sharding=place)
    text = jax.jit(rows).lower(x).compile().as_text()
    found = {c.kind: c for c in hlo.collectives(text, 8).collectives}
    assert found["all-gather"] == Collective("all-gather", 8, 3, 3 * 64 * 5 * 4)
    assert found["all-reduce"] == Collective("all-reduce", 8, 1, 4)
