"""Expressions for how people speak of themselves and of what they want to read.

Spaces stand for themselves, since texts come with single ones. Repetitions are bounded or cannot
overlap: texts come from strangers.
"""

import re

from digest.ranking.stopwords import STOP_WORDS


def _any(words: str) -> str:
    return rf"(?:{'|'.join(words.split())})"


def _compiled(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


# ---- People

#: The pronoun, and not a numeral: "phase I trials".
_NUMBERED = ("class", "grade", "part", "phase", "stage", "type")
_NO_NUMERAL = "".join(rf"(?<!\b{noun} )" for noun in _NUMBERED)
_VERBS = _any("am also build develop do have like love need study teach use want was work would")
_I = (
    rf"{_NO_NUMERAL}(?<![\w.(-])"
    rf"(?:i(?='(?:m|d|ve|ll)\b)|(?-i:I)(?= [a-z]{{2}})|i(?= {_VERBS}\b))"
)
_PROFESSION = _any(
    r"ph\.?d\.? student candidate postdoc\w* fellow professor"
    r" researcher \w*scientist engineer developer lecturer person educator teacher analyst doctor"
    r" nurse founder manager consultant architect surgeon \w{3,}(?<!cons)(?<!ex)ist"
    r" md \w+(?:ician|orian|rarian|grapher|nomer) prof\.? doktorand\w* doctorante?"
)
#: The field of a profession, by its ending.
SCIENCES = {
    "atrician": "atrics",
    "botanist": "botany",
    "chemist": "chemistry",
    "geneticist": "genetics",
    "grapher": "graphy",
    "historian": "history",
    "istician": "istics",
    "linguist": "linguistics",
    "logist": "logy",
    "matician": "matics",
    "nomer": "nomy",
    "nomist": "nomics",
    "physicist": "physics",
    "roboticist": "robotics",
}
_MODIFIERS = rf"(?:(?!{_any('a an and by for from in of on the to with')}\b)[\w-]+ ){{0,3}}?"
#: One person's role, but not "AI for teachers".
_ROLE = rf"(?:(?:an?|the) )?(?P<field>{_MODIFIERS})(?P<profession>{_PROFESSION})(?<!s)"
_ROLE_END = (
    rf"(?= {_any('and at but by en for from in interested of on that using who with')}\b"
    r"| \w{3,}ing\b|[,;:.()]| [@|(]|$)"
)
_PLACE = _any(
    "agency bank clinic company department firm fund group hospital industry institute institution"
    r" lab laboratory museum observatory school start-?up team univ\w*\.?"
)
_NAMED = r"(?: (?:of|for)(?-i:(?: [A-Z]\w+)+))?"
_WORK = _any(
    r"dissertation field focus homepage interests? keywords master'?s page ph\.?d profile projects?"
    r" research thesis topics? website work"
)
#: Alone, they are no subject.
NO_SUBJECT = _compiled(
    _PROFESSION, rf"(?:(?-i:[A-Z])\w+ ){{0,3}}{_PLACE}{_NAMED}", rf"(?:research )?{_WORK}"
)
#: They tell nothing of the field of a profession or a place.
GENERIC = _words(
    "a an big central data german junior large local master master's my national new our ph.d phd"
    " private public research retired senior small software the university young"
)

# ---- What a text is

#: Somebody speaks of themselves, as no abstract does.
PERSON = _compiled(
    _I,
    r"(?<![\w-])(?:my|(?-i:me)|ich|mich|mein\w*|je|j'\w+|mes)(?![\w-])",
    r"\b(?:hope|keen|like|love|need|try|want|wish) to (?:follow|hear|keep up|read|stay up)\b",
    rf"\b(?:our|unser\w*) (?:[\w'-]+ ){{0,2}}?(?:{_PLACE}|focus|interests|topics)\b",
)
#: Or asks for something.
WISH = _compiled(
    PERSON.pattern,
    r"(?<![\w-])(?:we|our|(?-i:us)|wir|unser\w*|(?:any|every)thing|whatever|interested|keen"
    r"|pl(?:ease|s)|curious|fascinated|passionate|a ph\.?d|thesis|reading group|journal club"
    r"|looking for|keep(?:ing)? up|papers? (?:about|by|on))(?![\w-])",
    rf"^(?:currently )?working (?:at|in|on)\b|^(?:research )?{_WORK}(?=:| [-–—] )",
    rf"(?:^|[,;:.] ){_ROLE}"
    rf"(?= {_any('at in interested of stud[a-z]+ using who with work[a-z]+')}\b|[,;:.]| [@|(–-]|$)",
)
#: What papers say of themselves, and questions.
OF_PAPER = _compiled(
    r"\b(?:we|this (?:paper|work|study)) (?:\w+ly )?"
    + _any(
        "address analy[sz]e argue augment combine consider demonstrate derive evaluate examine"
        " explore find formali[sz]e introduce investigate present propose prove report show study"
    )
    + r"s?\b",
    r"\?$|^(?:are|can|do|does|is)\b",
)
#: Sentences about a subject, not lists of subjects.
STATEMENT = _compiled(
    OF_PAPER.pattern,
    r"\b"
    + _any(
        "are be been can cannot could did do does had has have is may might should was were"
        " will would"
    )
    + r"\b",
)
QUESTION = _compiled(r"(?:and |or )?(?:how|what|when|where|whether|which|who|why)\b")
QUESTIONS = _compiled(r"\b(?:how|what|when|where|who|why)\b[^,;?]*")
LIST = _compiled(
    r"[,;|]|\s[/+]\s|\w{2}(?<!\bvs)\. |\s[-–—] .*\s[-–—] |\band\b.*\band\b",
    # "Protein folding and drug design".
    r"\s(?:\(?\d{1,2}[.)]|[•*])\s",
    r"^(?!.* (?:between|by|for|from|in|of|on|to|using|with) )(?=(?:[^\s:]+ ){2,6}\S+$)"
    r"\S.* (?:and|or|&) \S",
    r"(?:[.!] |\bbut )(?:no|not|nothing|without)\b|\b(?:apart from|except|excluding|other than)\b",
)

# ---- The parts of a wish

#: What is not wanted, up to the end of its clause.
NEGATIVE = _compiled(
    rf"\b(?:(?:but|and|so|aber) )?(?<![\w-])(?:(?:{_I}|we) (?:am not|are not)"
    rf"|(?:{_I}|we) (?:do not|don't) (?!want to miss\b)\w+"
    r"|(?:i'm|we're) not|not interested|no longer|rather than|(?:any|every)thing but|instead of"
    r"|apart from|except(?: for)?|excluding|other than|nothing"
    r"|pl(?:ease|s) (?:avoid|exclude|skip)"
    r"|(?:\A|(?<=[,;:|] )|(?<=but )|(?<=aber ))(?:pl(?:ease|s) )?"
    r"(?:not?|without|keine?|nicht|ohne))\b(?! (?:just|only)\b)"
    # "Robotics, vision or speech".
    r"(?P<unwanted>[^,;.|]*(?:(?:, [\w-]+(?: [\w-]+)?){0,5},? or [^,;.|]*)?)"
)
#: What is no subject: who somebody is, where they work, what they do, and how they ask.
FRAME = _compiled(
    # "As a marine biologist at", "PhD student in".
    rf"(?:\b(?:as|i am|i'm|we are|we're|currently|now|ich bin|je suis) |^|(?<=[,;:|] )){_ROLE}"
    rf"{_ROLE_END}"
    r"(?P<role_in> (?:in|of|en)\b)?",
    rf"(?:{_I}|\bwe)(?:'\w+)?(?: \w+ly)* (?:(?:am |are |have been )?work(?:ing)?|do research)"
    r"(?P<work_in> in\b(?! an?\b))",
    rf"(?:\b(?:at|for|from|in|on)|(?:{_I}|\bwe)(?:'\w+| [a-z]+)) (?:an?|my|our|the) "
    rf"(?P<place>(?:[\w'-]+ ){{0,3}}?){_PLACE}\b{_NAMED}",
    r"(?:\bat|@)(?: the)?(?-i:(?: [A-Z][\w.]+)+)",
    r"\bfor (?:\w+ ){1,2}(?:months|years)\b",
    rf"\b(?:my|our) (?:[\w'-]+ ){{0,2}}?(?:{_PLACE}|{_WORK})(?: {_WORK})?\b{_NAMED}"
    r"(?: at(?-i: [A-Z]\w+)+)?"
    r"(?:(?: \w+ly)* (?-i:[a-z]+))?",
    # "I would also like to see", "we are trying to understand".
    rf"(?:{_I}|\b(?:we|ich|wir|je|j(?='))\b)(?:'\w+| m'\w+)?"
    r"(?: (?:also|am|are|been|can|have|now|often|will|would|\w+ly))*"
    r"(?: (?:hope|keen|like|love|need|trying|try|want|wish) to(?: be)?)? (?-i:[a-zà-ÿ]+)(?:'t\b)?",
    r"\b(?:hope|keen|like|love|need|try|trying|want|wants|wish) to (?:be )?[a-z]+",
    r"\b(?:(?:keep|keeping|stay) )?up (?:to date|with)\b",
    r"\b(?:(?:give|keep|send|show) )?(?-i:me|us)\b(?: (?:informed|posted|updated)(?: about| on)?)?",
    r"\bwho (?:does|follows|likes|loves|needs|studies|wants|works)(?: to [a-z]+)?\b",
    r"\b(?:currently|now) \w+ing\b(?! an?\b)|\bcares? about\b",
    r"\bthat helps? (?:me|us) (?:to )?[a-z]+",
    r"\bon the \w+ side\b|\b(?:the )?intersection of\b",
    r"\b(?:reading group|journal club|seminar|course) (?:about|on)\b",
    r"\b(?:doing|finishing|starting|writing) an? (?:ph\.?d|thesis|dissertation|master's)\b"
    r"(?: thesis)?",
    r"\b(?:as well|in general)\b(?! as)|\b(?:it|that|there)'s\b|\b(?:forsch|arbeit)e\b",
    r"\b(?:(?:find|need|read|see|send|want) )?"
    r"(?:(?:any|every)thing|articles|papers|stuff|work)"
    r" (?:about|by|from|on)\b|\babout\b",
    r"\b(?:look(?:ing)? (?:at|for|into)|thinking (?:a lot )?about|work(?:ing|s)? (?:in|on|with)"
    r"|focus(?:ed|es|ing)? on|(?:\w+ )?interests? (?:are|in|include)|(?:[a-z]+'?s )?thesis"
    r"|along with|as well as|such as)\b",
    r"(?<![\w-])"
    + _any(
        r"also although anything because but curious dear everything excited fascinated"
        r" hello hi interested interesting interessier\w+ lately like mich my our passionate"
        r" please pls plus recently happy since so studying stuff thanks uns we i'\w+ we'\w+"
        r" (?-i:me|us)"
    )
    + r"(?!['-]?\w)",
)
#: What introduces the subjects in the rest of a sentence, if it is about a person.
INTRODUCTION = re.compile(r".*?(?::\s|,?\sso\s)(?=\S)")
#: They separate as a comma does.
SUCH_AS = _compiled(
    r"\b(?:e\.\s?g|i\.\s?e|etc|incl(?:uding)?|esp(?:ecially)?|in particular|particularly|namely"
    r"|(?:more )?(?:precise|specifical)ly)\b\.?,?"
)
SENTENCE_END = re.compile(
    r"(?<=[\w)]{2})(?<!\bvs|\b[Dd]r)(?<![Pp]rof|[Uu]niv)[.!?]+(?:\s+|$)"
    r"|(?:^|\s+)(?:[-–—•*·]|\(?\d{1,2}[.)])\s+|[—•]"
)
SEPARATOR = re.compile(r"\s*([,;:|]|(?<=\s)[/+](?=\s))\s*")
#: "Large language models (LLMs)", and the rest of what is in parentheses.
ACRONYM = re.compile(r"\s\([A-Z]\S*\)")
ASIDE = re.compile(r"\s\(([^()]*)\)")
_AND = _any(r"and or & und oder sowie et(?!\sal)")
AND, FIRST_AND = re.compile(rf"((?<!-)\s+{_AND}\s+)"), re.compile(rf"\A{_AND}\s+")
_NOUN = r"(?:(?:few|less|limited|little|many|more|no|noisy|small) )?[^\s,;:|]+"
#: "Brain decoding from EEG and fMRI" is that from EEG, and that from fMRI.
SHARED_START = re.compile(
    r"(?:\A|(?<=[,;:|] )|(?<= and )|(?<= or ))"
    r"(?P<start>(?:(?! and | or )[^,;:|])+ (?:for|from|in|of|on|to|using|with) )"
    rf"(?P<nouns>{_NOUN}(?:, {_NOUN})*,? {_AND} {_NOUN})(?=\s*(?:[,;:|]|\Z))"
)
NEXT_NOUN = re.compile(rf",? {_AND} |, ")
#: "Safety and uptake of vaccines" is that of vaccines, too.
SHARED_END = re.compile(r"\S+( (?:for|in|of|using|with) .+)")

# ---- The edges of a phrase

#: No phrase ends or begins with these,
NO_EDGE = (STOP_WORDS - {"making"}) | _words(
    "a aber auch aux des du great hobby i les nice related relevant sur und welcome zu zum zur à"
    " für über"
)
#: But phrases begin with these: "two dimensional materials", "few labels".
EDGE = _compiled(
    r"(?:few|first|how|last|never|off|one|third|three|two|what|when|where|why) \w"
    r"|a (?:priori|posteriori)\b|under (?:five|\d)|in (?:silico|situ|utero|vitro|vivo)\b"
)
#: nor begins with these: "recent advances in", "papers about".
NEW = _words("current general latest new novel recent using various")
#: Common words of sentences and abstracts.
FILLERS = _words(
    """
    approach approaches method methods result results use uses novel new existing
    want wants know interested interesting work works working way ways better good best prevent
    research study studies recent recently latest learned topic topics understand look looking find
    especially particularly need needs keeps kept tell tells thing things deal deals related curious
    currently send
    """
)
GENERAL = FILLERS | _words(
    "advances applications articles aspects developments ideas kinds literature news papers"
    " preprints progress publications techniques trends updates use uses using"
)
PREPOSITIONS = _words("about around by for in of on with")
NO_PHRASE = FILLERS | NO_EDGE
