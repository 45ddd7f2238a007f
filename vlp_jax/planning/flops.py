"""FLOPs of a function by its shapes: every matrix product that it does, nothing else.

The compiler's own count takes the body of a loop once and leaves out what it cannot
see into, so the products are counted in the traced program. Attention counts in full,
causal or not, as it is computed. One multiplication with its addition is two FLOP.
"""

import math

from jax.extend.core import ClosedJaxpr, Jaxpr


def matmul_flops(jaxpr: Jaxpr | ClosedJaxpr) -> float:
    """FLOP of one run of a traced function, over all devices together.

    A scan counts as often as it runs, a shard_map on every device of its mesh. Of a
    conditional the dearest branch counts; a while loop, whose length no shape tells,
    counts once.
    """
    total = 0.0
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        name, parameters = equation.primitive.name, equation.params
        if name == "dot_general":
            total += _product(equation)
        elif name == "conv_general_dilated":
            total += _convolution(equation)
        elif name == "cond":
            total += max(matmul_flops(branch) for branch in parameters["branches"])
        else:
            inner = sum(matmul_flops(j) for j in _inner(parameters))
            total += inner * _repeats(name, parameters)
    return total


def _inner(parameters: dict):
    """The functions that an operation calls."""
    for value in parameters.values():
        values = value if isinstance(value, tuple | list) else (value,)
        yield from (v for v in values if isinstance(v, Jaxpr | ClosedJaxpr))


def _repeats(name: str, parameters: dict) -> int:
    if name == "scan":
        return parameters["length"]
    if name == "shard_map":
        mesh = parameters["mesh"].shape
        return math.prod(mesh[axis] for axis in parameters["newly_manual_axes"])
    return 1


def _product(equation) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    result = equation.outvars[0].aval.shape
    return 2.0 * math.prod(result) * math.prod(left[axis] for axis in contracted)


def _convolution(equation) -> float:
    kernel = equation.invars[1].aval.shape
    features = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    result = equation.outvars[0].aval.shape
    # The gradient of a stride sees its input with zeros between, which cost nothing.
    zeros = math.prod(equation.params["lhs_dilation"])
    return 2.0 * math.prod(result) * math.prod(kernel) / features / zeros
