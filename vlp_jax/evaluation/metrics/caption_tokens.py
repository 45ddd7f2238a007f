"""Captions as the tokens that BLEU, ROUGE and CIDEr of COCO are computed from.

pycocoevalcap has them from Stanford's PTBTokenizer, a Java program (CoreNLP 3.4.1, with
-lowerCase), and drops tokens of punctuation. Here its rules are written anew as far as
captions need them: `tests/evaluation/metrics/test_caption_tokens.py` says what differs.
"""

import re

# One character for another, or a token of its own.
CHARACTERS = str.maketrans(
    {"’": "'", "\x92": "'", "‘": "`", "\xad": "", "…": " ... "}
    | dict.fromkeys("“”„«»‹›\x93\x94", ' " ')
    | dict.fromkeys("–—\x96\x97", " -- ")
    | {"²": " ² ", "³": " ³ "}
    | {"£": " # ", "€": " $ ", "¢": " cents "}
    | {"½": " 1/2 ", "¼": " 1/4 ", "¾": " 3/4 ", "⅓": " 1/3 ", "⅔": " 2/3 "}
)
ENTITIES = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'"}
NOT_BASIC = re.compile(r"[\U00010000-\U0010ffff\u200b\ufeff]")  # emoji and the like

LETTER, CHARACTER = r"[^\W\d_]", r"[^\W_]"
PART = rf"{CHARACTER}+(?:-{LETTER}+){{0,2}}"  # of what slashes join
# Words that keep a full stop, wherever it stands; and those that do with a capital.
ABBREVIATIONS = """
    adj adm adv al ala alex apr ariz assn assoc atty attys aug ave bancorp bhd bldg blvd
    brig bros calif capt cf cie cmdr co col colo comdr conn corp cos cpl ct dak dec dept
    det dr drs elec ens esq est etc ext feb fla fri ft ga gen gov govs hon inc ind insp
    intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar md messrs mich minn mo
    mon mont mr mrs ms mt natl neb nev nov oct okla penn pfc ph plc pres prof profs pte
    pty ptys pvt rd rep reps rev rt sen sens sep sept seq sfc sgt spc sq sr st ste supt
    supts sys tel tenn thu thurs tue tues univ va vs vt wed wis wisc wm wyo""".split()
CAPITALISED = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash".split()
BEFORE_NUMBERS = "no nos art fig figs pp".split()
# Words that start a sentence: before them a single letter keeps none.
STARTS = """
    A About According Additionally After An As At But Earlier He Her Here However If In
    It Last Many More Now Once One Other Our She Since So Some Such That The Their Then
    There These They This We What When While Yet You""".split()

# In the order in which they are tried.
KINDS = rf"""
    </?[A-Za-z][^<>="'\s]*(?:\s[^<>="']*)?>
  | https?://[^\s"<>|(){{}}]*[^\s"<>|(){{}}.,!?:;'-]
  | [A-Za-z0-9][\w.+-]*@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{{2,4}}
  | [@#][A-Za-z_]\w*
  | (?i:can(?=not)|gon(?=na)|got(?=ta)|wan(?=na)|lem(?=me)|gim(?=me))
    (?=(?i:not|na|ta|me)(?![\w-]))
  | '[Tt](?=(?:is|was)(?!{LETTER}))
  | {LETTER}+(?=[nN]'[tT](?!{LETTER}))
  | [nN]'[tT](?!{LETTER})
  | '(?:[msdMSD]|[rR][eE]|[vV][eE]|[lL][lL])(?!{LETTER})
  | '[nN](?:'|(?!{LETTER}))
  | '(?:em|cause|till?|[2-9]0s|\d\d)(?![\w'])
  | [cC]'mon|[sS]'mores|[nN]or'easter|[eE]v'ry|[lL]i'l|[nN]at'l|[oO]l'(?!{LETTER})
  | [yY]'(?={LETTER})
  | {LETTER}+[aeiouyAEIOUY]'[aeiouA-Z]{LETTER}*
  | {PART}(?:/{PART}){{1,2}}
  | (?:[dDoOlL]'{CHARACTER})?{CHARACTER}+(?:[_-](?:[dDoOlL]'{CHARACTER})?{CHARACTER}+)+
  | [A-Za-z0-9][A-Za-z0-9.,]*(?:-[A-Za-z0-9]+)+
  | [dDoOlL]'{CHARACTER}{CHARACTER}+
  | [lLdDjJ]'(?={LETTER})
  | [A-Z]+(?:[&+][A-Z]+)+
  | [Pp]h\.[Dd]\.
  | (?:[A-Za-z]\.){{2,}}(?!{LETTER})
  | [A-Za-z]\.(?!{LETTER}|\s*\Z|\s+(?:{"|".join(STARTS)})\b)
  | (?:{"|".join(CAPITALISED)}|(?i:{"|".join(ABBREVIATIONS)}))\.(?!{LETTER})
  | (?i:{"|".join(BEFORE_NUMBERS)})\.(?=\s?\d)
  | {LETTER}{CHARACTER}*(?:[.!?]{LETTER}{CHARACTER}*)*
  | [-+]?\d++(?:(?:[.:,]\d+)+|(?!{LETTER})) | [-+]?(?:[.:,]\d+)+
  | {CHARACTER}+
  | [:;=]['-]?[()DPp](?!\w)
  | [?!]+ | \.\.+ | --+ | \*+
  | \S
"""
TOKEN = re.compile(KINDS, re.VERBOSE)
BRACKETS = str.maketrans(
    {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
)
DROPPED = re.compile(r"['\"`.?!,:;]|''|\.\.+|-+")


def caption_tokens(caption: str) -> list[str]:
    """'A man's T-shirt.' -> ['a', 'man', "'s", 't-shirt'].

    Tokens of punctuation are left out, brackets ('-lrb-') and several question or
    exclamation marks in a row are not, as in pycocoevalcap.
    """
    for entity, character in ENTITIES.items():
        caption = caption.replace(entity, character)
    caption = NOT_BASIC.sub(" ", caption).translate(CHARACTERS)
    found = (match.group() for match in TOKEN.finditer(caption))
    return [
        token.lower().translate(BRACKETS)
        for token in found
        if not DROPPED.fullmatch(token)
    ]
