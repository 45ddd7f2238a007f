"""WebDatasets of one shard, and why a sample of theirs cannot be used."""

import pytest

from tests.data.tars import write_tar
from vlp_jax.core.errors import BadSample
from vlp_jax.data.sources.webdataset import WebDataset
from vlp_jax.data.transforms.image import decode_image


def one(folder, members, **keywords) -> WebDataset:
    return WebDataset(write_tar(folder / "set" / "00.tar", members), **keywords)


def cause_of(source, index: int) -> str:
    """Why a sample cannot be used, in reading or in decoding."""
    with pytest.raises(BadSample) as caught:
        decode_image(source[index].image)
    return caught.value.cause
