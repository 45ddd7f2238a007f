"""When two answers are the same: the normal form of the VQA challenge.

As the evaluation of VQA compares answers (Antol et al. 2015, arXiv:1505.00468;
https://visualqa.org/evaluation.html), its oddities included: training counts and
learns answers in this form, and evaluation compares them in it.
"""

import functools
import re

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
ARTICLES = ("a", "an", "the")
NUMERALS = "zero one two three four five six seven eight nine ten".split()
DIGITS = {word: str(number) for number, word in enumerate(NUMERALS)} | {"none": "0"}
# Words that are written right; one of their apostrophes may have been forgotten.
CONTRACTIONS = """
'ow's'at 'twas ain't aren't can't could've couldn't couldn't've didn't doesn't don't
hadn't hadn't've hasn't haven't he'd he'd've he's how'd how'll how's isn't it'd
it'd've it'll ma'am might've mightn't mightn't've must've mustn't needn't not've
o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've
somebody'll somebody's someone'd someone'd've someone'll someone's something'd
something'd've something'll that's there'd there'd've there're there's they'd
they'd've they'll they're they've wasn't we'd've we've weren't what'll what're
what's what've when's where'd where's where've who'd who'd've who'll who's who've
why'll why're why's won't would've wouldn't wouldn't've y'all y'all'd've y'all'll
you'd you'd've you'll you're you've
""".split()


def _repairs() -> dict[str, str]:
    """{word without one of its apostrophes: the word}."""
    found = {"somebody'd": "somebodyd"}  # as it stands there
    for word in CONTRACTIONS:
        for match in re.finditer("'", word):
            found[word[: match.start()] + word[match.end() :]] = word
    return found


REPAIRS = _repairs()


@functools.lru_cache(2**16)  # most answers are 'yes'
def normalise_answer(text: str) -> str:
    """Lower case, no articles, little punctuation, digits for words up to ten.

    Of most punctuation a mark becomes a blank; nothing, where it stands beside a blank
    anywhere in the answer, or a comma between two digits. May be empty: 'the'.
    """
    text = text.replace("\n", " ").replace("\t", " ").strip()
    thousands = re.search(r"\d,\d", text)
    beside = (p for p in PUNCTUATION if thousands or f"{p} " in text or f" {p}" in text)
    marks = dict.fromkeys(PUNCTUATION, " ") | dict.fromkeys(beside, "")
    text = re.sub(r"\.(?!\d)", "", text.translate(str.maketrans(marks)))
    words = (DIGITS.get(word, word) for word in text.lower().split())
    return " ".join(REPAIRS.get(word, word) for word in words if word not in ARTICLES)
