"""Meshes of the first devices."""

import math

import jax

from vlp_jax.parallel.mesh import MeshSpec


def make_mesh(*sizes):
    return MeshSpec(*sizes).make(jax.devices()[: math.prod(sizes)])
