"""ArrayRecord's own reader gives tf.train.Example, a record a sample."""

import numpy as np
from array_record.python.array_record_module import ArrayRecordReader

from tests.features.formats.written import columns
from vlp_jax.data.tf_example import parse
from vlp_jax.features.formats import array_record


def test_array_record_reads_them(tmp_path):
    expected = columns()
    array_record.write(tmp_path / "x.array_record", expected)
    reader = ArrayRecordReader(str(tmp_path / "x.array_record"))
    assert reader.num_records() == 3
    first, second, third = (parse(reader.read([n])[0]) for n in range(3))
    assert (first["index"], first["label"], first["labels"]) == ([0], [7], [7, 1])
    assert (second["index"], second["label"], second["labels"]) == ([2], [], [])
    assert third["captions"] == [b"text 0 of 3"] and third["name"] == [b"3.png"]
    assert second["captions"] == second["text_embedding"] == []
    np.testing.assert_array_equal(
        np.float32(first["text_embedding"]).reshape(2, 5),
        expected["text_embedding"][:2],
    )
    np.testing.assert_array_equal(
        np.float32(third["image_embedding"]), expected["image_embedding"][2]
    )
