"""The preferences page: what it changes, what it refuses, and the subscriber's data."""

import re

import lxml.html
import pytest

from subscriptions.models import ApiToken, Subscriber
from subscriptions.security import api_tokens
from tests.factories import make
from tests.factories.make import HOUR, NOW
from tests.helpers import data_files
from tests.helpers.pages import text_of
from tests.helpers.subscriber_pages import DAY, stances, url
from tests.helpers.tables import everything

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


def test_muting_wins_over_following(client):
    topic = make.topic()
    subscriber = make.subscriber()
    both = {"topics": topic.slug, "mute": topic.slug, "interests": "bread"}
    both["muted_interests"] = "bread"
    page = text_of(client.post(url("preferences", subscriber), both, follow=True))
    assert stances(subscriber) == {topic.query: "mute", "bread": "mute"}
    assert f"You both follow and mute {topic.name}, bread : muting wins." in page


@pytest.mark.parametrize("sent", [{"pause_until": ""}, {"action": "resume"}])
def test_pause_can_be_ended(client, sent):
    subscriber = make.subscriber(paused_until=(NOW + 9 * DAY).date(), next_due_at=NOW + 9 * DAY)
    client.post(url("preferences", subscriber), sent)
    assert make.fresh(subscriber).paused_until is None
    assert subscriber.next_due_at < NOW + DAY


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


@pytest.mark.parametrize("sent", data_files.load("sign_up_forms.toml")["invalid_preferences"])
def test_invalid_setting_changes_nothing(client, sent):
    make.topic("Graph learning")
    subscriber = make.subscriber(interests="bread")
    before = everything()
    assert client.post(url("preferences", subscriber), sent).status_code == 400
    assert everything() == before


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
