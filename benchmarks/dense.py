"""Dense on [batch, token, width] against the same product on flattened rows.

python -m benchmarks.dense        prints both sides, forward and backward, ratios last
"""

import statistics
import time

import jax

SHAPES = {  # batch, tokens, width, hidden
    "quickstart": (256, 10, 192, 768),
    "512 wide": (64, 77, 512, 2048),
    "ViT-B/32": (32, 50, 768, 3072),
}
LAYERS, REPEATS = 4, 9


def stack(x, kernels, flatten):
    """`LAYERS` times x + relu(x @ a) @ b."""
    shape = x.shape
    for a, b in kernels:
        rows = x.reshape(-1, shape[-1]) if flatten else x
        x = x + (jax.nn.relu(rows @ a) @ b).reshape(shape)
    return x.sum()


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start


def main() -> None:
    device = jax.devices()[0].device_kind
    print(f"{jax.device_count()} x {device}, jax {jax.__version__}")
    print(f"{'shape':12} {'3-D ms':>9} {'rows ms':>9} {'ratio':>6}")
    for name, (batch, tokens, width, hidden) in SHAPES.items():
        key = jax.random.key(0)
        x = jax.random.normal(key, (batch, tokens, width))
        a = 0.02 * jax.random.normal(key, (width, hidden))
        b = 0.02 * jax.random.normal(key, (hidden, width))
        kernels = [(a, b)] * LAYERS
        sides = {
            flatten: jax.jit(
                jax.value_and_grad(lambda x, k, f=flatten: stack(x, k, f), (0, 1))
            )
            for flatten in (False, True)
        }
        for side in sides.values():
            seconds(side, x, kernels)
        times = {False: [], True: []}
        for _ in range(REPEATS):  # in turn: the machine's speed drifts
            for flatten, side in sides.items():
                times[flatten].append(seconds(side, x, kernels))
        three, rows = (1e3 * statistics.median(times[k]) for k in (False, True))
        print(f"{name:12} {three:9.1f} {rows:9.1f} {three / rows:6.2f}")


if __name__ == "__main__":
    main()
