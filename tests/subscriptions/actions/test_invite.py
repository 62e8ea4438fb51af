"""Invitations: one email and one reminder at most to an address, whoever invites."""

import re

import pytest
from django.core.exceptions import ValidationError

from digest import tasks
from digest.operations import retention
from subscriptions.actions import erase, invite, moderation
from subscriptions.actions.preferences import TopicSelection
from subscriptions.delivery import worker
from subscriptions.models import Invitation, Letter, Seal, Subscriber
from subscriptions.security import suppression_list, tokens
from tests.factories import make
from tests.factories.make import DAY, MINUTE, NOW
from tests.helpers import data_files
from tests.helpers.services import once
from tests.helpers.subscriber_pages import STATES
from tests.subscriptions.actions.signup_steps import confirm, subscribe, unsubscribe

pytestmark = pytest.mark.django_db

ADA = "ada@example.org"
SETTINGS = {"hour": 9, "timezone": "Europe/Berlin", "language": "en"}
REASONS = invite.REASONS
LISTS = data_files.load("invitations.toml")


def invited(*emails, topics=(), group=None, by="head", now=NOW, **settings):
    """Invite these addresses. Return why each was not, by address."""
    chosen = TopicSelection([*topics])
    entries = [invite.Entry(email, selection=chosen) for email in emails or [ADA]]
    return dict(invite.invite(entries, SETTINGS | settings, group, inviter=by, now=now))


def ada():
    return Subscriber.objects.get(email=ADA)


def letters(email=ADA):
    return Letter.objects.filter(subscriber__email=email, kind="confirm")


def sent_by(now):
    worker.deliver_due(lambda: now)


def pass_days(days, clock):
    """Run the hourly tasks once on each of these days after NOW."""
    for day in days:
        clock.now = NOW + day * DAY
        tasks.remind_invited()
        sent_by(clock.now)
        retention.purge(clock.now)


@pytest.fixture
def invitation():
    """An invitation of Ada that was sent."""
    invited()
    sent_by(NOW)


def test_invited_address_is_pending_with_the_invitations_settings():
    topic = make.topic("Graphs")
    assert invited(topics=[topic], by="a" * 150) == {ADA: ""}
    subscriber = ada()
    assert subscriber.state_at(NOW) == "pending"
    assert {name: getattr(subscriber, name) for name in SETTINGS} == SETTINGS
    assert list(subscriber.topics.all()) == [topic]
    consent = subscriber.consents.get()
    assert (consent.act, consent.via) == ("asked", f"invitation by {'a' * 46}")
    assert Invitation.objects.get().invited_by == "a" * 150


def test_invitation_names_account_topics_and_group_and_confirms(client, outbox):
    invited(topics=[make.topic("Graphs")], group=make.group("Lab"))
    sent_by(NOW)
    (email,) = outbox()
    assert email["Subject"].startswith("Invitation to ")
    for part in ("plain", "html"):
        text = email.get_body((part,)).get_content()
        words = " ".join(text.split())
        assert "head invites you" in words
        assert "can change: Graphs" in words
        assert "join the group “Lab”" in words
        links = re.findall(r"http://[^/]+(/(?:confirm|unsubscribe)/[^/]+/)", text)
        assert len({*links}) == 2
    assert client.post(links[0]).status_code == 200
    assert ada().state_at(NOW) == "active"
    assert not ada().memberships.get().joined_at


def test_invitation_has_no_words_of_a_later_sign_up(invitation, clock, outbox):
    subscribe(ADA, TopicSelection(interests=["win at evil.example"]), now=NOW + MINUTE)
    pass_days([6], clock)
    _, reminder = outbox()
    assert "head invites you" in reminder.get_body(("plain",)).get_content()
    assert "evil.example" not in reminder.get_body(("plain",)).get_content()


@pytest.mark.parametrize("again", [NOW + DAY, NOW + 40 * DAY, NOW + 4000 * DAY])
def test_address_gets_one_invitation_and_one_reminder(invitation, clock, again):
    pass_days(range(0, 45, 1), clock)
    assert not Subscriber.objects.exists()
    assert invited(ADA.upper(), by="other", now=again) == {ADA.upper(): REASONS["invited"]}
    assert not Letter.objects.exists()


def test_reminder_is_sent_once_before_the_address_is_purged(invitation, clock, outbox):
    pass_days([4, 5, 6, 7, 12, 19, 29], clock)
    _, reminder = outbox()
    assert reminder["Subject"].startswith("Reminder: ")
    assert "only reminder" in reminder.get_body(("plain",)).get_content()
    assert Subscriber.objects.exists()
    pass_days([31], clock)
    assert not Subscriber.objects.exists()
    assert [entry.reason for entry in Seal.objects.all()] == ["invited"]


def test_links_of_both_emails_are_valid_for_seven_days(invitation, client, clock):
    pass_days([5], clock)
    first, reminder = letters().order_by("pk")
    for letter in (first, reminder):
        url = tokens.answer_url(ada(), "confirm", letter.created_at)
        for age, status in ((7 * DAY, 200), (7 * DAY + MINUTE, 410)):
            clock.now = letter.created_at + age
            assert client.get(url).status_code == status
    clock.now = reminder.created_at + 7 * DAY
    client.post(tokens.answer_url(ada(), "confirm", reminder.created_at))
    assert ada().state_at(clock.now) == "active"


ANSWERS = {
    "confirm": lambda: confirm(ada()),
    "decline": lambda: unsubscribe(ada()),
    "sign up": lambda: subscribe(ADA, now=NOW + DAY) and sent_by(NOW + DAY),
    "block": lambda: moderation.suppress(ada(), "x", now=NOW),
    "erase": lambda: erase.erase(ada(), now=NOW),
}


@pytest.mark.parametrize("answer", [*ANSWERS, "not sent"])
def test_answered_or_unsent_invitation_gets_no_reminder(clock, answer):
    invited()
    if answer != "not sent":
        sent_by(NOW)
        ANSWERS[answer]()
    count = letters().count()
    invite.remind(NOW + 5 * DAY)
    assert letters().count() == count


def test_reminder_is_skipped_after_the_confirmation(invitation, outbox):
    invite.remind(NOW + 5 * DAY)
    confirm(ada(), now=NOW + 5 * DAY)
    sent_by(NOW + 5 * DAY)
    assert [letter.state for letter in letters().order_by("pk")] == ["accepted", "skipped"]


def test_operator_cannot_resend_an_invitation_before_a_sign_up():
    invited()
    assert moderation.ask_to_confirm(ada(), now=NOW + DAY) is None
    subscribe(ADA, now=NOW + 2 * DAY)
    assert moderation.ask_to_confirm(ada(), now=NOW + 3 * DAY) is not None


@pytest.mark.parametrize("how", ["erased", "moved"])
def test_former_subscriber_is_not_reinvited_but_may_sign_up(how):
    invited()
    confirm(ada())
    if how == "erased":
        erase.erase(ada(), now=NOW)
    else:
        Subscriber.objects.update(email="new@example.org")
    assert invited(by="other", now=NOW + DAY)[ADA] == REASONS["invited"]
    assert subscribe(ADA, now=NOW + DAY).kind == "confirm"
    assert not suppression_list.is_blocked(ADA, NOW)


def test_bounced_invitation_blocks_for_a_week():
    invited()
    Subscriber.objects.update(suppressed_at=NOW, suppressed_by="bounced")
    erase.erase(ada(), now=NOW)
    assert subscribe(ADA, now=NOW + DAY) is None
    retention.purge(NOW + 8 * DAY)
    assert invited(now=NOW + 9 * DAY)[ADA] == REASONS["invited"]
    assert subscribe(ADA, now=NOW + 9 * DAY) is not None


@pytest.mark.parametrize("state", STATES)
def test_known_address_is_refused_with_the_reason(state):
    subscriber = make.subscriber(ADA, interests="graphs", **STATES[state])
    before = Subscriber.objects.values().get()
    assert invited(topics=[make.topic("Bread")]) == {ADA: REASONS[state]}
    assert Subscriber.objects.values().get() == before
    assert subscriber.preferences.get().topic.name == "graphs"
    assert not Letter.objects.exists()
    assert not Invitation.objects.exists()


def test_blocked_repeated_or_malformed_address_is_refused():
    suppression_list.add(ADA, "asked", NOW)
    entries = map(invite.Entry, [ADA, "new@example.org", "NEW@example.org", "nobody", "a\0@b.org"])
    results = invite.invite([*entries], SETTINGS, None, inviter="head", now=NOW)
    reasons = [reason for _, reason in results]
    assert reasons[:3] == [REASONS["suppressed"], "", REASONS["repeated"]]
    assert all("look like an email address" in reason for reason in reasons[3:])


# ---- Groups


def test_subscriber_is_invited_to_a_group_once(outbox):
    group = make.group("Lab", mailing_list=make.subscriber("list@example.org"))
    make.subscriber(ADA, interests="graphs", hour=5)
    assert invited(topics=[make.topic("Bread")], group=group) == {ADA: ""}
    assert list(invited("list@example.org", group=group).values()) == [REASONS["recipient"]]
    sent_by(NOW)
    (email,) = outbox()
    assert email["Subject"] == "Invitation to the group “Lab”"
    assert "/preferences/" in email.get_body(("plain",)).get_content()
    assert (ada().hour, ada().preferences.get().topic.name) == (5, "graphs")
    assert invited(group=group, by="other", now=NOW + 99 * DAY) == {ADA: REASONS["invited"]}
    assert not Invitation.objects.exists()


# ---- Limits and races


def test_daily_invitations_are_limited(settings):
    settings.LIMITS = settings.LIMITS | {"invitations": 2}
    people = [f"{n}@example.org" for n in range(3)]
    assert list(invited(*people).values()) == ["", "", REASONS["invitations"]]
    assert invited(people[2], by="other", now=NOW + DAY - MINUTE)[people[2]]
    assert invited(people[2], now=NOW + DAY + MINUTE) == {people[2]: ""}


# ---- Lists


@once
def test_pasted_list_may_have_commas_lines_and_names():
    text = "a@x.org, b@x.org;c@x.org\r\n\n  Ada L <d@x.org>\ne f"
    found = [(entry.address, entry.name) for entry in invite.read_text(text)]
    assert found[:4] == [("a@x.org", ""), ("b@x.org", ""), ("c@x.org", ""), ("d@x.org", "Ada L")]
    assert found[4] == ("e f", "")


TABLE = "Email;Name;Topics\na@x.org;Ä;Graphs|robots\n;;\nb@x.org;;\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-8-excel"])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_spreadsheet_files_are_read(encoding, separator):
    make.topic("Graphs"), make.topic("Robots")
    text = TABLE.replace(";", separator).replace("\n", "\r\n" if "excel" in encoding else "\n")
    entries = invite.read_csv(text.encode(encoding.removesuffix("-excel")))
    rows = [(entry.address, entry.name, entry.topics) for entry in entries]
    assert rows == [("a@x.org", "Ä", ("graphs", "robots")), ("b@x.org", "", ())]


def test_category_is_found_by_its_code():
    make.topic("cs.RO: Robotics", slug="arxiv-cs-ro")
    (entry,) = invite.read_csv(b"email,topics\na@x.org,cs.ro\n")
    assert entry.topics == ("arxiv-cs-ro",)


LONG = ["email\n" + "x" * 200_000, "Line 2: field larger than"]


@pytest.mark.parametrize(("data", "said"), [*LISTS["files"], LONG])
def test_unreadable_file_is_refused_with_the_line(data, said):
    with pytest.raises(ValidationError) as refusal:
        invite.read_csv(data.encode("latin-1"))
    assert refusal.value.messages[0].startswith(said)


BAD_ROWS = [("a@x.org,Bread", [f"Line {n}: there is no topic “bread”." for n in range(2, 12)])]
BAD_ROWS += [("a@x.org,,x", ["Line 2, 3, 4, 5, 6, 7, 8, 9, 10, 11: too many cells."])]


@pytest.mark.parametrize(("row", "said"), BAD_ROWS)
def test_file_is_refused_with_its_first_bad_lines(row, said):
    with pytest.raises(ValidationError) as refusal:
        invite.read_csv(f"email,topics\n{12 * f'{row}\n'}b@x.org,\n".encode())
    assert refusal.value.messages == [*said, "And 2 more."][: 11 if "Bread" in row else 1]


@pytest.mark.parametrize("header", LISTS["headers"])
def test_spellings_of_the_email_column_are_read(header):
    (entry,) = invite.read_csv(f"Name;{header}\nAda;a@x.org\n".encode())
    assert (entry.address, entry.name) == ("a@x.org", "Ada")
