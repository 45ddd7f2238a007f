"""What data_check finds in a folder whose every picture is known."""

from tests.core.parsed_page import EVIL
from tests.data.surveyed import GOOD, OTHER, SAMPLES, Listed, survey
from vlp_jax.core.types import Example, Question
from vlp_jax.data import check
from vlp_jax.feed import plain_samples


def words(texts):
    return [len(text.split()) for text in texts]


def test_numbers_of_a_known_source():
    found = survey(count_tokens=words).numbers()
    assert (found["samples"], found["walked"], found["usable"]) == (8, 8, 4)
    assert found["left out when opened"] == {"caption_missing": 3}
    assert found["bad samples"] == {
        "image_truncated": {"count": 1, "some": [f"{EVIL}.jpg"]},
        "caption_missing": {"count": 1, "some": ["mute.jpg"]},
        "image_missing": {"count": 1, "some": ["sample 6"]},
        "image_unreadable": {"count": 1, "some": ["8.jpg"]},
    }
    told = found["distributions"]
    assert told["short side"]["min"] == 8 and told["short side"]["max"] == 150
    assert told["short side"]["median"] == 60
    assert told["width / height"]["min"] == 0.5
    assert told["characters a caption"]["max"] == 5000
    assert told["tokens a caption"]["max"] == 2
    assert found["total bytes"] == 2 * len(GOOD) + len(OTHER) + 8 * 8 * 3
    assert found["copies of pictures"] == {
        "count": 1,
        "some": [("copy of 1.jpg", "1.jpg")],
    }
    assert (found["captions"], found["repeated captions"]) == (6, 1)


def test_threads_change_nothing():
    many = Listed(SAMPLES * 50)
    expected = survey(1, many).numbers()
    assert expected["walked"] == 400 and expected["copies of pictures"]["count"] == 197
    assert survey(4, many).numbers() == expected


def test_samples_are_spread_evenly():
    assert check.spread(10, None).tolist() == list(range(10))
    assert check.spread(5, 9).tolist() == list(range(5))
    assert check.spread(101, 3).tolist() == [0, 50, 100]


def test_a_histogram_counts_everything_once():
    bars = check.histogram([1, 2, 2, 3, *[4] * 100, 10_000])
    assert len(bars) == check.BARS and sum(n for _, _, n in bars) == 105
    assert bars[0][0] == 1 and bars[-1][1] < 10_000
    assert sum(n for _, _, n in check.histogram([7.0])) == 1


def test_questions_and_labels_say_something_too():
    labelled = Listed([Example(GOOD, (), label=3)])
    assert survey(source=labelled).numbers()["usable"] == 1


def test_questions_are_counted_and_shown():
    asked = Question("what?", ("that", "this", "this")), Question("who?", ())
    found = survey(
        source=Listed([Example(GOOD, questions=asked), Example(GOOD, ("a",))])
    )
    told = found.numbers()["distributions"]
    assert told["questions a sample"]["max"] == told["questions a sample"]["min"] == 2
    assert (told["answers a question"]["min"], told["answers a question"]["max"]) == (
        *(0, 3),
    )
    assert [good.shown[1] for good in found.shown] == [("what? this", "who?"), ("a",)]
    assert "questions a sample" not in survey().numbers()["distributions"]


def test_the_speed_of_the_loader(monkeypatch):
    monkeypatch.setattr(check, "SPEED_SECONDS", 0.1)
    good = Listed([Example(GOOD, ("a dog",))] * 3)
    assert check.loader_speed(plain_samples(good), 2, 0).endswith("/s, 2 threads")
    bad = Listed([Example(b"", ("a dog",))] * 3)
    said = check.loader_speed(plain_samples(bad), 2, 0)
    assert "8 samples in a row cannot be used" in said
