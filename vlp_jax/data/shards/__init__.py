"""Tar shards: finding them, the index that makes them random access, writing them."""
