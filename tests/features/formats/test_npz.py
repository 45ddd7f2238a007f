"""NumPy reads the files without pickles, and texts are packed."""

import zipfile

import numpy as np

from tests.features.formats.written import assert_same, columns
from vlp_jax.features.formats import npz


def test_numpy_reads_them(tmp_path):
    npz.write(tmp_path / "x.npz", columns())
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        assert_same({key: file[key] for key in file.files}, columns())


def test_a_long_text_takes_little_room(tmp_path):
    texts = {"captions": np.array(["short"] * 999 + ["x" * 9999])}
    npz.write(tmp_path / "x.npz", texts)
    assert texts["captions"].nbytes > 39e6
    assert (tmp_path / "x.npz").stat().st_size < 1e6
    npz.write(tmp_path / "y.npz", columns())
    with zipfile.ZipFile(tmp_path / "y.npz") as archive:
        packed = {i.filename for i in archive.infolist() if i.compress_type}
    assert packed == {"name.npy", "captions.npy"}
