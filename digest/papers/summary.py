"""Extractive summaries: the sentence of an abstract that states what the paper does or finds.

If the best sentence is too long, it is shortened to its main clause, or another one is used.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

from digest.ranking import text

MAX_WORDS = 30
MAX_LENGTH = 320  # Characters, since a word may be of any length.
MAX_READ = 5_000  # Characters of an abstract, to bound the time.

#: Not behind an abbreviation or an initial ("et al. (2026)", "J. Li"), but "of type A. We show".
SENTENCE_END = re.compile(
    r"[.!?](?<!\b[A-Z].)(?<!\b[A-Za-z]\.[A-Za-z].)(?<!\b(?:al|ca|cf|vs|[DM]r|[Ee]q|No|St).)"
    r"(?<!\b(?:[Ff]ig|[Ee]qs|[Ss]ec|[Rr]ef|[Tt]ab|[Tt]hm).)(?<!\b(?:[Ff]igs|[Rr]efs|resp|Prof).)"
    r"(?<![:;,] \d.)['\"”’)\]]*\s+(?=[^a-z\s]|[a-z]+[A-Z])|[。！？]\s*(?=\S)"
    r"|\.\s+(?=(?:I[fnt]|The|This|We|However|Moreover)\s)"
)

type Scored = tuple[float, str, frozenset[str]]  # A sentence between its score and its terms.

# ---- What a sentence announces

PAPER = "article|authors|letter|note|paper|project|report|research|review|study|survey|thesis|work"
AUTHORS = rf"\b(?:[Ww]e|I|(?:[Tt]his|[Oo]ur|[Tt]he) (?:\w+ )?(?:{PAPER}))(?: \w+ly| also)?+ "
FINDS = "(?:argu|demonstrat|deriv|develop|establish|find|found|introduc|present|prov|propos|show)"
#: A sentence has the points of the first that it matches.
CUES = {
    5: AUTHORS + FINDS,
    3: AUTHORS + "(?!believ|conclud|discuss|hop|not|observ|opens|serves)",
    2: rf"(?i:\b(?:experiments?|findings|results?)(?: \w+)* (?:indicat|suggest|{FINDS}))"
    r"|\b(?:[Oo]ur|[Pp]roposed) (?:\w+ )?(?:approach|framework|method|model|system)\b"
    rf"|\b(?:is|are|was|were) (?:\w+ly )?(?:appl|investigat|stud|survey|{FINDS})|^To {FINDS}",
    -2: r"\b(?:[Cc]urrent|[Ee]xisting|[Pp]revious|[Rr]ecent|ha(?:s|ve)|remains?|years)\b",
}
#: Links, praise and outlook: three points less.
FAULTS = r"(?i)https?:|\b(?:available|e(?:ffectiveness|fficacy|xtensive)|future)\b"
#: References to the sentence before: only where no other sentence fits.
HANGING = re.compile(
    r"(?:its?|they|he|she|the (?:latter|former|two|three|same)|alone|such|these|those|both|here"
    rf"|this(?! (?:\w+ )?(?:{PAPER})\b)|another|other(?:s|wise)?|similarly|conversely|instead"
    r"|in (?:contrast|turn|addition|particular)|furthermore|moreover|additionally|also|thus"
    r"|therefore|hence|consequently|however|nevertheless|second(?:ly)?|third(?:ly)?|finally"
    r"|then|next|specifically|as a (?:result|consequence)|for (?:example|instance)"
    r"|to (?:this|that) end|we (?:also|additionally|further|then|thus|therefore))\b"
    r"|\w+ing (?:it|them)\b|.*\b(?:based|built|trained) (?:on|with) (?:it|them)\b"
    r"|at both|to \w+ its|in doing so|.*\b(?:instead|likewise|as well|too)\.$"
    rf"|.*\b(?:both (?:gaps|of the)|these|those|such(?! as| that)"
    rf"|this(?! (?:\w+ )?(?:{PAPER})\b))\b",
    re.IGNORECASE,
)

# ---- What is cut from a sentence

#: "Results:", "However,", "In this paper,", "To address this gap,".
OPENING = re.compile(
    rf"(?:(?!We\b)[A-Z]\w+(?: (?:and )?\w+)?: )?(?:(?!By|Using)(?:\w+(?: \w+){{0,2}}"
    rf"|[^,]*\b(?:both|its|such|that|their|these|this|those)\b[^,]*), (?={AUTHORS}\w+ )"
    r"|(?:Here|In this \w+) (?=we\b))?"
)
LEAD = re.compile(rf"\A(?:(?!{AUTHORS}).)*?, (?={AUTHORS}\w+ )")
#: Where a clause may end that is complete without the rest.
CLAUSE = re.compile(
    r"; | [—–] |: |, (?=(?:and (?:it|then|thus|we)|as|based|but|by|even|from|in|so|such|thereby"
    r"|under|where|which|whereas|while|with|without|(?:\w+ly )?\w+ing(?= [^\s,]+ [^\s,]+)"
    r"|\w+ed (?:as|by|for|from|in|on|to|via|with))\b)|(?<!,) (?=(?:by \w+ing|in order to|that"
    r"|through|using|via|where|which|while|and (?:\w+ly|introduce|present|propose|show)s?)\b)"
)
SUBORDINATE = r"\b(?:how|if|that|what|when|where|whether|which|who|why)\b"
COMPLETE_CLAUSE = re.compile(rf"{AUTHORS}(?:\S+ ){{4}}")
#: What needs the rest: "We show that for each n".
OPEN = re.compile(
    rf"{SUBORDINATE}(?: \w+)?(?:,[^,]*| (?:as|at|by|for|given|if|in|on|under|when|with)\b[^,]*)?$"
    rf"|\b(?:and|as|at|by|for|in|namely|of|on|than|to|with|{FINDS}\w*),?$|, \w+ing$|\([^)]*$"
    r"|\b(?:how|if|what|whether|why)\b|\((?:1|i|a)\)"
)


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, each with the space behind it."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return [text[start:end] for start, end in pairwise([0, *ends, len(text)])]


def best_sentence(title: str, abstract: str, interest: Iterable[str] = ()) -> str:
    """Return the best sentence of at most MAX_WORDS words, or an empty string.

    `interest` are the words that a subscriber looks for.
    """
    terms, scored = frozenset(text.terms(" ".join(interest))), _scored(title, abstract)
    return max(scored, key=lambda row: row[0] + len(row[2] & terms) / 2, default=(0, ""))[1]


@lru_cache(1_000)  # As many papers as a day may have; each takes some ten kilobytes.
def _scored(title: str, abstract: str) -> list[Scored]:
    """Return the sentences that fit, each with its score and its terms."""
    title_terms, scored = frozenset(text.terms(title)), list[Scored]()
    system_name, colon, _ = title.partition(":")
    for position, sentence in enumerate(sentences(" ".join(abstract[:MAX_READ].split()))):
        brief = _shortened(sentence.strip())
        if 0 < len(brief) <= MAX_LENGTH:
            terms = frozenset(text.terms(brief))
            base = 2 if colon and system_name in brief else 0 if position else -3
            score = 3 * len(terms & title_terms) / max(len(title_terms), 1) - 0.35 * position
            score += next((points for points, cue in CUES.items() if re.search(cue, brief)), base)
            score += min(len(brief.split()), 16) / 8 - 3 * bool(re.search(FAULTS, brief))
            score -= 20 * bool(HANGING.match(brief))
            scored.append((score, brief, terms))
    return scored


def _shortened(sentence: str) -> str:
    """Return the shortened sentence, or an empty string if it stays too long."""
    body = OPENING.sub("", sentence, count=1)
    main_clause = LEAD.sub("", body)
    clauses = [
        f"{clause}."
        for break_match in CLAUSE.finditer(main_clause)
        if COMPLETE_CLAUSE.search(clause := main_clause[: break_match.start()])
        and not OPEN.search(clause)
        and not (break_match[0] == " " and re.search(SUBORDINATE, clause))
    ]
    candidates = (body, main_clause, *reversed(clauses))
    summary = next((part for part in candidates if len(part.split()) <= MAX_WORDS), "")
    return summary if sentence.startswith(summary) else summary[:1].upper() + summary[1:]
