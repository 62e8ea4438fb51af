"""Where a paper was published or accepted, by its journal or its authors' comments."""

import re

from django.utils.translation import gettext as _

from subscriptions.mail.plaintext import shortened

MAX_COLUMNS = 80
#: What authors write of a paper that is not accepted, or of another version of it.
NOT_ACCEPTED = re.compile(r"(?i)\b(?:earlier|exten[ds]|(?:in|under) review|not|prev|revis|submi)")
#: "Accepted at NeurIPS 2025", or a conference with its year and no more than how it is there.
ACCEPTED = re.compile(
    r"\b(?i:(?:accepted|to appear|(?:to be )?published)"
    r"(?: for (?:oral |poster )?(?:presentation|publication))?(?: as (?:an? )?[\w-]+(?: \w+)?)?"
    r" (?:at|by|for|in|to)(?: the)?) ((?>[A-Z\d][\w’'&/+-]*"
    r"(?: (?:(?:&|and|at|for|in|of|on|the) ){0,2}[A-Z\d][\w’'&/+-]*)*))(?!\.)"
    r"|(?:\A|[,.:]) *((?!AMS|MSC)[A-Z]+[A-Za-z]*[A-Z]+ 20\d\d"
    r"(?: \(?(?i:findings|main|oral|poster|spotlight)\)?)?)(?= *(?:[,.:]|\Z))"
)
#: A comment ends by a semicolon, or by a dot that is not of an abbreviation.
END = re.compile(r";|(?:(?<=[a-z]{5})|(?<=\d{4})|(?<=\)))\.(?: (?![A-Z]\.)|$)")


def venue(paper) -> str:
    """Return the journal, or where a paper is accepted by its authors' comments if that is sure."""
    if paper.id.startswith("doi:"):
        return shortened(paper.journal_ref, MAX_COLUMNS)
    for part in END.split(paper.comments):
        name = (match := ACCEPTED.search(part)) and (match[1] or match[2])
        if name and len(re.findall("[A-Z]", name)) > 1 and not NOT_ACCEPTED.search(part):
            return _("accepted at %s") % shortened(name, MAX_COLUMNS)
    return ""
