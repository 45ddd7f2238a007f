"""A folder of shards: which are missing, what became of their samples, whose it is."""

import json

import pytest

from vlp_jax.core.errors import ConfigError, RunError
from vlp_jax.data.shards.folder import NAMED, Counts, Layout, ShardFolder

LAYOUT = Layout(
    "squeeze", "squeeze.json", "{:02d}.juice", ".{:02d}.json", "other fruit"
)
OWN = {"fruit": "apple", "pair": (1, 2), "fingerprint": {"a": "1"}}


def folder(path, count=3, **own):
    return ShardFolder(path, LAYOUT, count, OWN | own)


def keep(shards, number, samples, *bad):
    counts = Counts(samples)
    for name in bad:
        counts.add_bad("image_empty", name)
    temporary = shards.path / "half"
    temporary.write_text(str(number))
    shards.keep(number, temporary, counts)


def test_shards_that_are_there_and_others(tmp_path):
    with folder(tmp_path / "new") as shards:
        assert shards.missing() == [0, 1, 2] and str(shards) == f"3 in {shards.path}"
        keep(shards, 1, 7, "a", "b")
        keep(shards, 2, 5, "c")
        assert shards.missing() == [0] and shards.counts(2).samples == 5
        assert str(shards).endswith(", 2 of them there already")
        total = shards.total()
    assert (total.samples, total.bad) == (12, {"image_empty": 3})
    assert total.lines() == ["3 image_empty: a, b, c"]
    assert shards.shard(1).read_text() == "1"
    shards.shard(1).with_name(".01.json").unlink()
    assert folder(shards.path).missing() == [0, 1]


def test_names_of_bad_samples_are_not_endless():
    total = Counts()
    for number in range(3):
        one = Counts()
        for name in range(NAMED):
            one.add_bad("image_empty", f"{number}.{name}")
        total.add(one)
    assert total.bad == {"image_empty": 3 * NAMED}
    assert total.named["image_empty"] == [f"0.{name}" for name in range(NAMED)]
    content = total.content()
    assert json.loads(json.dumps(content)) == content
    assert total.lines() == [f"{3 * NAMED} image_empty: 0.0, 0.1, 0.2"]


def test_it_is_of_one_command_at_a_time(tmp_path):
    with folder(tmp_path):
        with pytest.raises(ConfigError, match="another squeeze is writing to"):
            folder(tmp_path)
    folder(tmp_path)
    for own, said in (
        ({"fruit": "pear"}, "begun with other fruit .fruit 'apple'.; repeat these"),
        ({"fingerprint": {"a": "2"}}, "1 changed: a"),
        ({"more": 1}, "more None"),
    ):
        with pytest.raises(ConfigError, match=said):
            folder(tmp_path, **own)
    (tmp_path / "squeeze.json").unlink()
    (tmp_path / "07.juice").touch()
    with pytest.raises(ConfigError, match="holds shards that squeeze has not begun"):
        folder(tmp_path)


def test_what_the_disk_refuses_is_explained(tmp_path):
    with pytest.raises(RunError, match="x cannot be read or written: No such file"):
        with folder(tmp_path):
            (tmp_path / "x").read_text()
    with pytest.raises(ZeroDivisionError), folder(tmp_path):
        _ = 1 / 0
    folder(tmp_path)  # the lock is open
