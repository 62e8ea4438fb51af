"""No module, class, function or setting has a name that the project has given up.

Exempt are model classes, whose names are those of tables, content types and permissions.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

from config import settings

ROOT = Path(settings.__file__).parents[1]
MODULES = """
acts archive archiving asking beside blocks books changing checkup choice choosing composing
conversations deeds desk editions finding hints highwire in_hand invented joints keys ledger line
lines listings log_in mac materials matching meaning moving notice_of office operating oracles
panel panels parts plug policies post premises promises quoting races recording rehearsal
replanning returns rhythm rows seals searching specimens statements steering stencil storing
sweeper tallies trail upkeep uploads verdict watching wire wishes
"""
CLASSES = """
Allotment Checked Door Due Description Frozen Handover Learned NoOracle NothingToSay Oracle
Outlook Overtaken Place Planned PostfixLog Promise RankedDay Rehearsal Settled Skeleton Slips
Specimen Stencil Strangers Told Trouble Tuning Verdict Wishes
"""
FUNCTIONS = """
allot doubt for_all_to_read for_token_holders hint in_a_row interest_of is_due_at is_due_from
is_put_off knock let_letters_go lift_off lock_readers may_vouch may_write_to mend move_on once_in
once_more open_mailbox rehearse says_as_written stumble take_trial taught thank told told_of
trip unheard unobeyed wanting where_bounces_come why_not why_unwanted wished wordless
"""
SETTINGS = "DOOR VOUCH HEARTBEAT_KEYS"
WORDS = """
deed door doors fence fenced he her hers herself him himself his house houses kitchen knock oracle
oracles promise promised promises reader readers seal sealed seals she told
"""
#: The first reads readers.jsonl, the second tests a module `reader`.
EXEMPT = {"evaluate.py", "test_reader.py"}


@cache
def names() -> dict[str, set[str]]:
    """Return the names in the product by kind."""
    found: dict[str, set[str]] = {"module": set(), "class": set(), "function": set()}
    for app in ("config", "digest", "subscriptions"):
        for path in (ROOT / app).rglob("*.py"):
            if "migrations" in path.parts:
                continue
            found["module"] |= {path.stem, path.parent.name}
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    found["class"].add(node.name.lstrip("_"))
                elif isinstance(node, ast.FunctionDef):
                    found["function"].add(node.name.lstrip("_"))
    found["setting"] = {name for name in dir(settings) if name.isupper()}
    return found


OLD_NAMES = [
    ("module", MODULES),
    ("class", CLASSES),
    ("function", FUNCTIONS),
    ("setting", SETTINGS),
]


@pytest.mark.parametrize(("kind", "old"), OLD_NAMES)
def test_no_name_is_an_old_one(kind, old):
    assert names()[kind] & set(old.split()) == set()


def test_no_name_in_tests_has_an_old_word():
    found, old = set(), set(WORDS.split())
    for path in (ROOT / "tests").rglob("*.py"):
        if path.name in EXEMPT:
            continue
        named = {path.stem}
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                    named.add(name)
                case ast.Name(id=name, ctx=ast.Store()):
                    named.add(name)
        found |= {f"{path.name}: {name}" for name in named if old & set(name.lower().split("_"))}
    assert found == set()
