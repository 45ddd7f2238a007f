"""What is done to a text before its tokenizer sees it."""

import html
import string

STRAIGHT = str.maketrans(
    dict.fromkeys("\u02bc\u2018\u2019\u201a\u201b", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f", '"')
)
WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def canonicalise_siglip(text: str) -> str:
    """Lowercase, no ASCII punctuation, whitespace collapsed; '_' becomes a space.

    As big_vision's prompt_engineering._canonicalize; transformers' SiglipTokenizer
    differs in that it deletes '_'.
    """
    text = text.replace("_", " ").translate(WITHOUT_PUNCTUATION)
    return " ".join(text.lower().split())


def canonicalise_clip(text: str) -> str:
    """HTML entities resolved (twice, as scraped text needs), whitespace, lowercase.

    As OpenAI's CLIP cleans text (its clip/simple_tokenizer.py), but for the repair of
    wrongly decoded characters that the ftfy package does there.
    """
    return " ".join(html.unescape(html.unescape(text)).lower().split())


def canonicalise_open_clip(text: str) -> str:
    """HTML entities resolved (twice), curly quotes made straight, whitespace collapsed.

    As open_clip does before every tokenizer of Hugging Face (clean='whitespace' in its
    tokenizer.py), but for what else the ftfy package repairs there.
    """
    text = html.unescape(html.unescape(text)).translate(STRAIGHT)
    return " ".join(text.split())


CANONICALISE = {
    "none": lambda text: text,
    "siglip": canonicalise_siglip,
    "clip": canonicalise_clip,
    "open_clip": canonicalise_open_clip,
}
