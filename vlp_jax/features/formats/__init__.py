"""The formats of feature files: name -> how a file is written and read.

A module has ENDING, check(), write(path, columns) and read(path, keys) -> columns; see
columns.py for what they are.
"""

from vlp_jax.features.formats import array_record, npz, parquet

FORMATS = {"npz": npz, "parquet": parquet, "array_record": array_record}
