"""The preferences page: what it changes, what it refuses, and the subscriber's data."""

import re
from urllib.parse import urlencode

import lxml.html
import pytest

from subscriptions.models import ApiToken, Subscriber, TopicPreference
from subscriptions.security import api_tokens
from tests.factories import make
from tests.factories.make import HOUR, NOW, TODAY
from tests.helpers import data_files
from tests.helpers.pages import text_of
from tests.helpers.subscriber_pages import DAY, digest_of, stances, url
from tests.helpers.tables import everything
from tests.subscriptions.actions.signup_steps import accepted

pytestmark = pytest.mark.django_db


TABS = [
    ("interests", {"interests": "cake", "muted_interests": "nuts"}),
    ("delivery", {"hour": "9", "size": "5", "days": ["", "tue"], "language": "en"}),
]


@pytest.mark.parametrize(("tab", "sent"), TABS)
def test_each_tab_is_saved_alone(client, tab, sent):
    fields = {"hour": 21, "size": 3, "language": "de", "wants_near": True, "weekdays": 0b11}
    subscriber = make.subscriber(interests="bread", muted=[make.topic()], **fields)
    settings, wishes = Subscriber.objects.values().get(), stances(subscriber)
    wrong = {"size": "99", "topics": "gone", "new_email": "x"}  # Of the other tabs, or unknown.
    sent = wrong | sent if tab == "delivery" else {"size": "99"} | sent
    answer = client.post(url("preferences", subscriber), {"action": f"save_{tab}"} | sent)
    assert answer["Location"].endswith(f"?done=save&tab={tab}")
    after = Subscriber.objects.values().get()
    if tab == "interests":
        assert after == settings
        assert stances(subscriber) == {"cake": "follow", "nuts": "mute"}
    else:
        assert stances(subscriber) == wishes
        changed = {name for name in after if after[name] != settings[name]}
        assert changed == {"hour", "size", "weekdays", "language", "next_due_at"}
    page = lxml.html.fromstring(client.get(answer["Location"]).content)
    assert [panel.get("id") for panel in page.find_class("is-open")] == [tab]


def test_invalid_tab_is_open_and_nothing_is_saved(client):
    subscriber = make.subscriber(interests="bread")
    before = everything()
    sent = {"action": "save_delivery", "size": "0"}
    page = lxml.html.fromstring(client.post(url("preferences", subscriber), sent).content)
    assert [panel.get("id") for panel in page.find_class("is-open")] == ["delivery"]
    assert page.xpath("//*[@role='alert']//a/@href") == ["#id_size"]
    assert page.xpath("//textarea[@id='id_interests']")[0].value.strip() == "bread"
    assert everything() == before


EMPTY = {"topics": "", "mute": "", "interests": "", "hour": "", "action": ""}


@pytest.mark.parametrize("sent", [{}, EMPTY])
def test_empty_form_drops_wishes_and_keeps_settings(client, sent):
    settings = {"timezone": "Europe/Berlin", "hour": 21, "size": 3, "language": "de"}
    settings |= {"wants_quiet_days": True, "paused_until": (NOW + 9 * DAY).date()}
    wishes = {"interests": "bread", "topics": [make.topic()], "muted": [make.topic()]}
    subscriber = make.subscriber(**wishes, **settings)
    before = Subscriber.objects.values().get()
    response = client.post(url("preferences", subscriber), sent, follow=True)
    assert response.redirect_chain[0][1] == 302
    assert response.status_code == 200
    assert Subscriber.objects.values().get() == before
    assert stances(subscriber) == {}


RESUMED = {
    "paused": ({"paused_until": (NOW + 9 * DAY).date()}, "resume"),
    "bounced": ({"suppressed_at": NOW - 9 * DAY, "suppressed_by": "bounced"}, "resume"),
    "gone": ({"unsubscribed_at": NOW - DAY}, ""),
    "pending": ({"confirmed": False}, ""),
    "kept from": ({"suppressed_at": NOW, "suppressed_by": "operator"}, ""),
}


@pytest.mark.parametrize(("fields", "done"), RESUMED.values(), ids=RESUMED)
def test_resumed_subscriber_is_welcomed(client, fields, done):
    subscriber = make.subscriber(**fields)
    response = client.post(url("preferences", subscriber), {"action": "resume"})
    assert response["Location"].endswith(f"?done={done}")


@pytest.mark.parametrize("kind", ["application/json", "application/octet-stream"])
def test_non_form_body_changes_nothing(client, kind):
    subscriber = make.subscriber(interests="bread")
    before = stances(subscriber)
    response = client.generic("POST", url("preferences", subscriber), '{"hour": 8}', kind)
    assert response.status_code == 400
    assert "Nothing was changed" in response.text
    assert stances(subscriber) == before != {}


def test_every_wish_and_setting_can_be_changed(client):
    followed, muted = make.topic("Followed"), make.topic("Muted")
    subscriber = make.subscriber(interests="bread", topics=[muted])
    sent = {"topics": [followed.slug], "mute": [muted.slug], "interests": "cake", "hour": "0"}
    sent |= {"muted_interests": "raisins\nalmonds", "timezone": "Asia/Tokyo", "size": "50"}
    sent |= {"language": "de", "quiet": "yes", "pause_until": "2026-06-10", "action": "save"}
    client.post(url("preferences", subscriber), sent)
    subscriber.refresh_from_db()
    assert stances(subscriber) == dict.fromkeys(["Followed", "cake"], "follow") | dict.fromkeys(
        ["Muted", "raisins", "almonds"], "mute"
    )
    assert (subscriber.timezone, subscriber.hour, subscriber.size) == ("Asia/Tokyo", 0, 50)
    assert (subscriber.language, subscriber.wants_quiet_days) == ("de", True)
    assert subscriber.paused_until.isoformat() == "2026-06-10"
    assert subscriber.next_due_at.isoformat() == "2026-06-09T15:00:00+00:00"


def test_removed_language_is_shown_as_english(client):
    page = client.get(url("preferences", make.subscriber(language="tlh"))).text
    assert '<option value="en" selected>English</option>' in page


def test_invalid_form_still_shows_absent_settings(client):
    subscriber = make.subscriber(language="de", wants_quiet_days=True)
    page = client.post(url("preferences", subscriber), {"size": 0}).text
    for selected in ('"de"', '"yes"'):
        assert f"<option value={selected} selected>" in page


def test_muting_wins_over_following(client):
    topic = make.topic()
    subscriber = make.subscriber()
    both = {"topics": topic.slug, "mute": topic.slug, "interests": "bread"}
    both["muted_interests"] = "bread"
    page = text_of(client.post(url("preferences", subscriber), both, follow=True))
    assert stances(subscriber) == {topic.query: "mute", "bread": "mute"}
    assert f"You both follow and mute {topic.name}, bread : muting wins." in page


def test_conflict_message_requires_own_conflicting_topics(client):
    one, other = make.topic("One"), make.topic("Other")
    subscriber, stranger = make.subscriber(), make.subscriber(muted=[one])
    sent = {"topics": one.slug, "mute": other.slug, "interests": "cake"}
    saved = client.post(url("preferences", subscriber), sent)
    others = TopicPreference.objects.filter(subscriber=stranger).values_list("topic", flat=True)
    query = urlencode({"both": [*others, one.pk, "x", "9" * 30]}, doseq=True)
    for address in (saved["Location"], f"{saved['Location']}&{query}"):
        assert "muting wins" not in text_of(client.get(address))


def test_unconfirmed_subscriber_sees_how_to_be_asked_again(client):
    subscriber = make.subscriber(confirmed=False)
    page = client.get(url("preferences", subscriber)).text
    assert '<a href="/subscribe/">Sign up again</a> to get a new one' in page


@pytest.mark.parametrize("sent", [{"pause_until": ""}, {"action": "resume"}])
def test_pause_can_be_ended(client, sent):
    subscriber = make.subscriber(paused_until=(NOW + 9 * DAY).date(), next_due_at=NOW + 9 * DAY)
    client.post(url("preferences", subscriber), sent)
    assert make.fresh(subscriber).paused_until is None
    assert subscriber.next_due_at < NOW + DAY


def test_ended_pause_explains_a_delayed_digest(client):
    subscriber = make.subscriber(hour=NOW.hour + 1, paused_until=(NOW + 9 * DAY).date())
    accepted(subscriber, TODAY - DAY, at=NOW)  # Late, so that the next is put off.
    said = text_of(client.post(url("preferences", subscriber), {"action": "resume"}, follow=True))
    assert "Welcome back." in said
    assert "That is later than your delivery time" in said
    assert "at your hour" not in said


@pytest.mark.parametrize(("language", "day"), [("en", "12/10/2026"), ("de", "10.12.2026")])
def test_ambiguous_pause_date_is_refused_in_every_language(client, language, day):
    """Which day 12/10 is depends on who writes it."""
    subscriber = make.subscriber()
    path, headers = url("preferences", subscriber), {"accept-language": language}
    page = client.post(path, {"pause_until": day}, headers=headers)
    assert page.status_code == 400
    assert make.fresh(subscriber).paused_until is None


def test_past_pause_date_is_refused_and_form_kept(client):
    subscriber, topic = make.subscriber(timezone="Asia/Tokyo"), make.topic("Chosen")
    yesterday = str((NOW + 9 * HOUR - DAY).date())
    sent = {"pause_until": yesterday, "interests": "bread", "topics": topic.slug, "size": "7"}
    before = everything()
    for action in ("save", "preview"):
        answer = client.post(url("preferences", subscriber), sent | {"action": action})
        assert answer.status_code == 400
        page = lxml.html.fromstring(answer.content)
        (field,) = page.xpath("//input[@id='id_pause_until']")
        assert field.value == yesterday
        assert {"id_pause_until_error"} <= {*field.get("aria-describedby").split()}
        (said,) = page.xpath("//*[@id='id_pause_until_error']")
        assert said.text_content().strip() == "That day is over. Choose a later one, or none."
        assert page.xpath("//textarea[@id='id_interests']")[0].value.strip() == "bread"
        assert page.xpath("//input[@name='topics' and @checked]/@value") == [topic.slug]
        assert page.xpath("//input[@id='id_size']")[0].value == "7"
    assert everything() == before


def test_stale_page_with_an_ended_pause_can_be_saved(client):
    subscriber = make.subscriber(paused_until=(NOW - DAY).date())
    sent = {"pause_until": str(subscriber.paused_until), "size": "7"}
    assert client.post(url("preferences", subscriber), sent).status_code == 302
    assert make.fresh(subscriber).size == 7


@pytest.mark.parametrize("action", ["resume", "reset", "export"])
def test_other_actions_do_not_change_wishes(client, action):
    topic = make.topic()
    subscriber = make.subscriber(interests="bread", muted=[topic], size=3)
    client.post(url("preferences", subscriber), {"action": action, "interests": "cake", "size": 5})
    subscriber.refresh_from_db()
    assert stances(subscriber) == {"bread": "follow", topic.query: "mute"}
    assert subscriber.size == 3


@pytest.mark.parametrize("sent", data_files.load("sign_up_forms.toml")["invalid_preferences"])
def test_invalid_setting_changes_nothing(client, sent):
    make.topic("Graph learning")
    subscriber = make.subscriber(interests="bread")
    before = everything()
    assert client.post(url("preferences", subscriber), sent).status_code == 400
    assert everything() == before


def test_erasing_keeps_rows_of_other_subscribers(client):
    subscriber, other = make.subscriber(interests="bread"), make.subscriber(interests="cake")
    for one in (subscriber, other):
        digest_of(one)
    erased = client.post(url("preferences", subscriber), {"action": "erase"})
    assert "Your data is erased" in text_of(erased)
    assert Subscriber.objects.get() == other
    assert (stances(other), other.letters.count()) == ({"cake": "follow"}, 1)
    assert other.picks.count() == 1


# ---- The API token


def test_api_token_is_shown_once(client):
    subscriber = make.subscriber()
    path = url("preferences", subscriber)
    assert "Revoke token" not in client.get(path).text
    made = client.post(path, {"action": "token"})
    assert (made.status_code, made.get("Location")) == (200, None)
    assert "no-store" in made["Cache-Control"]
    page = lxml.html.fromstring(made.content)
    token = page.xpath("string(//*[@id='new_token'])")
    assert re.fullmatch(r"pb_[\w-]{43}", token)
    assert [panel.get("id") for panel in page.find_class("is-open")] == ["data"]
    assert api_tokens.find_subscriber(token) == subscriber
    again = client.get(path).text
    assert token not in again
    assert "You made a token on Monday" in again
    second = client.post(path, {"action": "token"}).text
    assert token not in second
    assert api_tokens.find_subscriber(token) is None
    revoked = client.post(path, {"action": "revoke_token"}, follow=True)
    assert "Your API token is revoked." in revoked.text
    assert not ApiToken.objects.exists()
    assert not client.cookies
