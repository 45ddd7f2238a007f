"""Memory and time of the losses over the global batch, beside the usual ways.

python -m benchmarks.loss                               on 8 CPU devices
python -m benchmarks.loss --topology=v5e:16x16 --batch=1048576 --width=512
                    compiled for TPUs that need not be there (needs libtpu)

Each line is value and gradient of one loss on the same embeddings. The peers, written
here for the comparison, are differentiated by JAX:
  dense          the whole matrix, split over the devices by the compiler
  gather+local   both modalities gathered, two b x B matrices a device (open_clip)
  autodiff ring  the sigmoid loss around the ring, every tile kept for the backward pass
"""

import argparse
import dataclasses
import functools
import os
import statistics
import time
from collections.abc import Callable

DEVICES = 8


@dataclasses.dataclass(frozen=True)
class Side:
    """A loss to measure: its name, (mesh, batch) -> function, and its scalars."""

    name: str
    make: Callable
    scalars: tuple[float, ...] = (2.659,)


def sides(mesh) -> dict[str, list[Side]]:
    """Softmax and sigmoid losses: ours first, then the peers."""
    import jax
    import jax.numpy as jnp
    import optax
    from jax import lax

    from vlp_jax.objectives.sigmoid import dense_sigmoid, tiled_sigmoid
    from vlp_jax.objectives.softmax import dense_softmax, tiled_softmax
    from vlp_jax.objectives.sweep import SWEEPS
    from vlp_jax.parallel.mesh import BATCH_AXES
    from vlp_jax.parallel.sharding import BATCH, REPLICATED

    def ours(make, way, tile):
        return make(mesh, functools.partial(SWEEPS[way], tile_size=tile))

    def rows(count):
        return jnp.ones(count, bool), jnp.arange(count)

    def local_loss(image, text, logit_scale):
        """open_clip's local loss with gathered features, as each device computes it."""
        own = lax.axis_index(BATCH_AXES) * len(image) + jnp.arange(len(image))
        total = 0.0
        for here, there in ((image, text), (text, image)):
            there = lax.all_gather(there, BATCH_AXES, tiled=True)
            logits = jnp.exp(logit_scale) * here @ there.T
            cross_entropy = optax.softmax_cross_entropy_with_integer_labels
            total += cross_entropy(logits, own).sum() / 2
        return lax.psum(total, BATCH_AXES)

    def ring_sigmoid(image, text, logit_scale, logit_bias):
        """The sigmoid loss with the texts going round, left to autodiff."""
        devices = lax.axis_size(BATCH_AXES)
        around = [(i, (i + 1) % devices) for i in range(devices)]
        total = 0.0
        for hop in range(devices):
            logits = jnp.exp(logit_scale) * image @ text.T + logit_bias
            sign = 2 * jnp.eye(len(image)) - 1 if hop == 0 else -1
            total += jax.nn.softplus(-sign * logits).sum()
            text = lax.ppermute(text, BATCH_AXES, around)
        return lax.psum(total, BATCH_AXES)

    def mapped(function, scalars):
        specs = (BATCH, BATCH, *(REPLICATED,) * scalars)
        return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=REPLICATED)

    def plain(loss):
        return lambda image, *rest: loss(image, *rest, *rows(len(image)))

    both = (2.303, -10.0)
    return {
        "softmax": [
            Side("ring", lambda: plain(ours(tiled_softmax, "ring", 512))),
            Side("gather", lambda: plain(ours(tiled_softmax, "gather", 512))),
            Side("dense", lambda: plain(dense_softmax)),
            Side("gather+local", lambda: mapped(local_loss, 1)),
        ],
        "sigmoid": [
            Side("ring", lambda: plain(ours(tiled_sigmoid, "ring", 256)), both),
            Side("dense", lambda: plain(dense_sigmoid), both),
            Side("autodiff ring", lambda: mapped(ring_sigmoid, 2), both),
        ],
    }


def compiled(side: Side, mesh, batch: int, width: int, dtype="float32"):
    """The compiled value and gradient of a loss over `batch` pairs."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import NamedSharding

    from vlp_jax.parallel.sharding import BATCH, REPLICATED

    def shape(sizes, spec, dtype):
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=NamedSharding(mesh, spec))

    embedding = shape((batch, width), BATCH, jnp.dtype(dtype))
    scalars = [shape((), REPLICATED, jnp.float32) for _ in side.scalars]
    loss = side.make()
    inputs = tuple(range(2 + len(scalars)))
    function = jax.value_and_grad(lambda *x: loss(*x) / batch, argnums=inputs)
    with jax.set_mesh(mesh):
        return jax.jit(function).lower(embedding, embedding, *scalars).compile()


def mebibytes(program) -> float:
    """Temporary memory of a compiled program on one device."""
    return program.memory_analysis().temp_size_in_bytes / 2**20


def embeddings(batch: int, width: int, mesh):
    """Unit embeddings of which the pairs are somewhat alike, on the devices."""
    import numpy as np

    from vlp_jax.parallel.sharding import place_batch

    rng = np.random.default_rng(0)
    image = rng.normal(size=(batch, width)).astype(np.float32)
    text = image + 2 * rng.normal(size=(batch, width)).astype(np.float32)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (image, text)]
    return place_batch(unit, mesh)


def worst_difference(found, expected) -> float:
    """max |difference| / max |reference| over value and gradients."""
    import jax
    import numpy as np

    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(
        float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max())
        for a, b in pairs
    )


def measure(family: list[Side], mesh, batch: int, width: int, repeats: int):
    """{name: (MiB a device, median seconds)}; raises if the gradients differ."""
    import jax
    import numpy as np

    programs = {side.name: compiled(side, mesh, batch, width) for side in family}
    data = embeddings(batch, width, mesh)
    seconds = {name: [] for name in programs}
    expected = None
    for _ in range(repeats):  # in turn: the machine's speed drifts
        for side in family:
            scalars = [jax.numpy.float32(x) for x in side.scalars]
            # Twice: the first call pays for memory that another side gave back.
            jax.block_until_ready(programs[side.name](*data, *scalars))
            start = time.perf_counter()
            found = jax.block_until_ready(programs[side.name](*data, *scalars))
            seconds[side.name].append(time.perf_counter() - start)
            found = jax.tree.map(np.asarray, found)
            expected = found if expected is None else expected
            difference = worst_difference(found, expected)
            if difference > 2e-5:
                raise SystemExit(f"{side.name} differs by {difference:.1e}")
    return {
        name: (mebibytes(programs[name]), statistics.median(seconds[name]))
        for name in programs
    }


def show(title: str, found: dict[str, tuple[float, float]]) -> None:
    print(f"\n{title}\n{'':14} {'MiB/device':>10} {'seconds':>8}")
    for name, (memory, seconds) in found.items():
        print(f"{name:14} {memory:10.1f} {seconds:8.2f}", flush=True)


def judge(name: str, value: float, most: float) -> None:
    print(
        f"  {name:46} {value:6.3f}  {'met' if value <= most else 'NOT MET'}"
        f" (goal {most:.3f})"
    )


def on_cpu(width: int, repeats: int) -> None:
    """The comparison on 8 CPU devices, with the goals."""
    import jax

    from vlp_jax.parallel.mesh import MeshSpec

    mesh = MeshSpec().make()
    known = sides(mesh)
    print(
        f"{len(mesh.devices.flat)} x {jax.devices()[0].device_kind}, jax "
        f"{jax.__version__}, float32, D = {width}, tiles of 512 (sigmoid: 256) columns"
    )
    softmax = measure(known["softmax"], mesh, 16384, width, repeats)
    show("softmax, B = 16384", softmax)
    sigmoid = measure(known["sigmoid"], mesh, 8192, width, repeats)
    show("sigmoid, B = 8192", sigmoid)
    print("\nring, memory as the batch doubles")
    memory = [
        mebibytes(compiled(known["softmax"][0], mesh, batch, width))
        for batch in (8192, 16384, 32768, 65536)
    ]
    print("  " + " -> ".join(f"{m:.1f}" for m in memory) + " MiB")
    (ring, ring_s), (local, local_s) = softmax["ring"], softmax["gather+local"]
    dense, dense_s = softmax["dense"]
    print("\nratios (gradients of all sides equal to 2e-5 in this run)")
    judge("memory, ring / gather+local", ring / local, 1 / 30)
    judge("memory, ring / dense", ring / dense, 1 / 20)
    growth = max(b / a for a, b in zip(memory, memory[1:], strict=False))
    judge("memory, growth when the batch doubles", growth, 2.05)
    judge(
        "memory, sigmoid ring / autodiff ring",
        sigmoid["ring"][0] / sigmoid["autodiff ring"][0],
        1 / 5,
    )
    judge("time, ring / gather+local", ring_s / local_s, 0.45)
    judge("time, ring / dense", ring_s / dense_s, 0.9)
    judge("time, sigmoid ring / dense", sigmoid["ring"][1] / sigmoid["dense"][1], 0.8)


def on_tpu(topology: str, batch: int, width: int, dtype: str) -> None:
    """Memory a chip for a topology, from the TPU compiler."""
    from jax.experimental import topologies

    from vlp_jax.parallel.mesh import MeshSpec

    chips = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    mesh = MeshSpec().make(chips.devices)
    print(f"{len(chips.devices)} x {topology}, {dtype}, B = {batch:,}, D = {width}")
    for name, family in sides(mesh).items():
        start = time.perf_counter()
        program = compiled(family[0], mesh, batch, width, dtype)
        text = program.as_text()
        print(
            f"{name} ring: {mebibytes(program):.1f} MiB of temporaries a chip; "
            f"{text.count('collective-permute-start(')} permutes in start/done pairs, "
            f"{text.count(' collective-permute(')} not; compiled in "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--topology", help="compile for these TPUs, such as v5e:16x16")
    parser.add_argument("--batch", type=int, default=2**20)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--dtype", default="bfloat16", help="with --topology")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    if options.topology:
        os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
        return on_tpu(options.topology, options.batch, options.width, options.dtype)
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={DEVICES}"
    on_cpu(options.width, options.repeats)


if __name__ == "__main__":
    main()
