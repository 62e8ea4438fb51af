"""The admin panel: what it shows, what its buttons do, and that looking changes nothing."""

from datetime import date, timedelta

import lxml.html
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.urls import reverse

from digest import editions, fitting, front, planning
from digest.models import Digest, FittedModel, Paper
from subscriptions import signup
from subscriptions.admin import acts
from subscriptions.admin.parts import SUBSCRIBER_TONES
from subscriptions.models import Letter, Subscriber, Topic
from subscriptions.post import delivery, ledger
from tests import make
from tests.make import NOW
from tests.pages import text_of

pytestmark = pytest.mark.django_db

SUBSCRIBERS = "admin:subscriptions_subscriber_changelist"
LISTS = [
    "subscriptions_subscriber",
    "subscriptions_topic",
    "subscriptions_letter",
    "subscriptions_sending",
    "digest_paper",
    "digest_digest",
    "digest_fittedmodel",
    "auth_user",
    "admin_logentry",
]


def page(panel, row, verb="change"):
    url = f"admin:{row._meta.app_label}_{row._meta.model_name}_{verb}"
    return panel.get(reverse(url, args=[row.pk]))


def form_of(response):
    """Return what a browser would send if the page's form were sent as it stands."""
    data = {}
    forms = [response.context["adminform"].form]
    for formset in response.context["inline_admin_formsets"]:
        forms += [formset.formset.management_form, *formset.formset.forms]
    for form in forms:
        for field in form:
            data[field.html_name] = "" if field.value() is None else field.value()
    return data


def planned_digest():
    """Make a reader whose digest of today is written down, and return it."""
    make.paper("Sparse attention for <long> documents")
    make.subscriber(topics=[make.topic("Sparse attention")])
    planning.plan(NOW)
    return Digest.objects.get()


def test_a_list_asks_as_many_queries_for_many_rows_as_for_few(panel, django_assert_max_num_queries):
    topic = make.topic("Sparse attention")
    for n in range(20):
        make.paper(f"Sparse attention {n}")
        make.topic()
        make.subscriber(topics=[topic], interests="attention")
        User.objects.create(username=f"operator-{n}")
    planning.plan(NOW)
    for name in LISTS:
        with django_assert_max_num_queries(12, info=name):
            assert panel.get(reverse(f"admin:{name}_changelist")).status_code == 200, name


def test_the_first_page_counts_readers_letters_and_papers_of_today(panel):
    planned_digest()
    make.subscriber(confirmed=False)
    refused = make.subscriber()
    letter = refused.letters.create(
        kind="confirm", state="failed", reason="refused: 550", created_at=NOW, closes_at=NOW
    )
    text = text_of(panel.get(reverse("admin:index")))
    assert "active 2 pending 1 paused 0" in text
    assert "waiting 1 could not be sent refused 1" in text
    assert "Of today 1" in text
    assert letter.reason not in text


def test_the_state_filter_agrees_with_what_is_said_of_each_subscriber():
    for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"]:
        for days in (-1, 0, 1, 2):
            make.subscriber(timezone=zone, paused_until=NOW.date() + timedelta(days=days))
    make.subscriber(confirmed=False)
    make.subscriber(unsubscribed_at=NOW)
    make.subscriber(suppressed_at=NOW, unsubscribed_at=NOW)
    for moment in [NOW, NOW.replace(hour=5), NOW.replace(hour=23)]:
        found = {
            state: set(Subscriber.objects.in_state(state, moment).values_list("pk", flat=True))
            for state in SUBSCRIBER_TONES
        }
        counts = {state: len(ids) for state, ids in found.items()}
        assert Subscriber.objects.count_by_state(moment) == counts
        for subscriber in Subscriber.objects.all():
            said = subscriber.state_at(moment)
            assert [state for state, ids in found.items() if subscriber.pk in ids] == [said]


def test_only_what_is_changed_here_leads_to_a_history(panel):
    digest = planned_digest()
    for row, is_changed in [(digest.subscriber, True), (digest, False), (digest.letter, False)]:
        url = reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_history", args=[row.pk])
        assert (url in page(panel, row).content.decode()) == is_changed


def test_nobody_is_added_by_hand(panel):
    assert panel.get(reverse("admin:subscriptions_subscriber_add")).status_code == 403


def test_another_hour_moves_the_next_digest_and_nothing_else(panel):
    reader = make.subscriber(topics=[make.topic()], interests="sparse attention", hour=7)
    reader.preferences.update(weight=2.5)
    response = page(panel, reader)
    data = form_of(response) | {"hour": "23", "timezone": "Asia/Tokyo"}
    assert panel.post(response.request["PATH_INFO"], data).status_code == 302
    reader.refresh_from_db()
    assert (reader.hour, reader.next_due_at) == (23, NOW.replace(hour=14))
    assert list(reader.preferences.values_list("stance", "weight")) == [("follow", 2.5)] * 2


def test_a_pause_calls_off_the_letter_that_waits(panel):
    digest = planned_digest()
    response = page(panel, digest.subscriber)
    panel.post(response.request["PATH_INFO"], form_of(response) | {"paused_until": "2026-06-20"})
    digest.letter.refresh_from_db()
    assert digest.letter.said == "not sent: paused"


def test_her_own_words_go_when_their_row_is_removed(panel):
    reader = make.subscriber(interests="sparse attention")
    response = page(panel, reader)
    panel.post(response.request["PATH_INFO"], form_of(response) | {"preferences-0-DELETE": "on"})
    assert not reader.preferences.exists()
    assert not Topic.objects.exists()


def test_unsubscribing_from_the_list_asks_first_and_then_is_recorded(panel):
    reader, other = make.subscriber(), make.subscriber()
    data = {"action": "unsubscribe_selected", "_selected_action": [reader.pk]}
    asked = text_of(panel.post(reverse(SUBSCRIBERS), data))
    assert reader.email in asked
    assert other.email not in asked
    assert Subscriber.objects.wanting().count() == 2
    panel.post(reverse(SUBSCRIBERS), data | {"confirmed": "yes"})
    assert list(Subscriber.objects.wanting()) == [other]
    assert reader.consents.get().via == "admin panel"


def test_a_button_on_her_page_asks_before_it_unsubscribes(panel):
    reader = make.subscriber()
    assert "Letters that wait are called off" in text_of(page(panel, reader, "unsubscribe"))
    assert Subscriber.objects.wanting().exists()
    url = reverse("admin:subscriptions_subscriber_unsubscribe", args=[reader.pk])
    assert "HX-Redirect" in panel.post(url, {"_form_submitted": "on"})
    assert not Subscriber.objects.wanting().exists()


def bouncing(**fields):
    return make.subscriber(suppressed_at=NOW, suppressed_by="bounced", **fields)


def test_asking_from_the_list_asks_first_and_only_those_whose_letters_came_back(panel):
    readers = [bouncing(), make.subscriber(suppressed_at=NOW, suppressed_by="complained")]
    data = {"action": "ask_selected", "_selected_action": [one.pk for one in readers]}
    assert readers[0].email in text_of(panel.post(reverse(SUBSCRIBERS), data))
    assert not Letter.objects.exists()
    answered = panel.post(reverse(SUBSCRIBERS), data | {"confirmed": "yes"}, follow=True)
    assert Letter.objects.get().subscriber == readers[0]
    assert "Asked: 1." in text_of(answered)
    assert "Not asked: 1. Only those are asked whose letters came back" in text_of(answered)
    assert LogEntry.objects.get().object_id == str(readers[0].pk)


def test_a_button_on_her_page_asks_whether_her_address_is_right_once(panel):
    reader = bouncing(suppressed_reason="550 no such user")
    assert "letters came back: 550 no such user" in text_of(page(panel, reader))
    assert "once in 7 days" in text_of(page(panel, reader, "ask"))
    assert not Letter.objects.exists()
    url = reverse("admin:subscriptions_subscriber_ask", args=[reader.pk])
    assert url in page(panel, reader).content.decode()
    for _ in range(2):
        assert "HX-Redirect" in panel.post(url, {"_form_submitted": "on"})
    assert Letter.objects.get().kind == "bounced"


@pytest.mark.parametrize("fields", [{}, {"suppressed_at": NOW, "suppressed_by": "complained"}])
def test_there_is_no_such_button_on_the_pages_of_others(panel, fields):
    reader = make.subscriber(**fields)
    url = reverse("admin:subscriptions_subscriber_ask", args=[reader.pk])
    assert url not in page(panel, reader).content.decode()
    assert panel.post(url, {"_form_submitted": "on"}).status_code == 403
    assert not Letter.objects.exists()


def act_on(panel, reader, act, **told):
    """Press a button on her page and say yes. Return what her page says then."""
    url = reverse(f"admin:subscriptions_subscriber_{act}", args=[reader.pk])
    asked = panel.get(url)
    assert url in page(panel, reader).content.decode()
    assert "Cancel" in text_of(asked)
    assert "HX-Redirect" in panel.post(url, {"_form_submitted": "on"} | told)
    return text_of(page(panel, reader))


def waiting_to_confirm():
    reader = make.subscriber(confirmed=False)
    signup.note(reader, "asked", signup.Door("test"), NOW)
    return reader


@pytest.mark.parametrize(
    ("act", "made", "told", "noted"),
    [
        ("pause", make.subscriber, {"until": "2026-06-20"}, "Paused until 20 Jun 2026."),
        (
            "resume",
            lambda: make.subscriber(paused_until=date(2026, 6, 9)),
            {},
            "Ended the pause.",
        ),
        ("ask_to_confirm", waiting_to_confirm, {}, "Sent the confirmation again."),
        ("send_link", make.subscriber, {}, "Sent the link to the preferences."),
        (
            "suppress",
            make.subscriber,
            {"reason": "asked by phone"},
            "Kept letters from the address: asked by phone",
        ),
        ("unsubscribe", make.subscriber, {}, "Unsubscribed."),
    ],
)
def test_each_act_says_what_follows_is_done_once_and_stands_in_the_trail(
    panel, act, made, told, noted
):
    reader = made()
    assert ": 1. " in act_on(panel, reader, act, **told)
    (entry,) = LogEntry.objects.all()
    assert (entry.get_change_message(), entry.user.username) == (noted, "you")
    many = {"action": f"{act}_selected", "_selected_action": [reader.pk], "confirmed": "yes"}
    answered = text_of(panel.post(reverse(SUBSCRIBERS), many | told, follow=True))
    again = {"pause", "unsubscribe"}  # To say it twice is no harm.
    assert ("Not " in answered) == (act not in again)
    assert LogEntry.objects.count() == (2 if act in again else 1)


@pytest.mark.parametrize(
    ("act", "colour"), [("pause", "primary"), ("unsubscribe", "red"), ("erase", "red")]
)
def test_what_takes_something_away_is_asked_in_red_and_nothing_else_is(panel, act, colour):
    reader = make.subscriber()
    many = {"action": f"{act}_selected", "_selected_action": [reader.pk]}
    for asked in (
        panel.get(reverse(f"admin:subscriptions_subscriber_{act}", args=[reader.pk])),
        panel.post(reverse(SUBSCRIBERS), many),
    ):
        (button,) = lxml.html.fromstring(asked.content).xpath(
            "//form//button[contains(@class, '-600 ')]"
        )
        assert f"bg-{colour}-600" in button.get("class")


def test_what_is_missing_on_a_form_is_asked_for_and_nothing_is_done(panel):
    reader = make.subscriber()
    for act, told in [("pause", {"until": "2020-01-01"}), ("pause", {}), ("suppress", {})]:
        url = reverse(f"admin:subscriptions_subscriber_{act}", args=[reader.pk])
        asked = panel.post(url, {"_form_submitted": "on"} | told)
        assert "HX-Redirect" not in asked
        said = text_of(asked)
        assert reader.email in said
        assert "still to come" in said or "This field is required" in said
        data = {"action": f"{act}_selected", "_selected_action": [reader.pk], "confirmed": "yes"}
        text = text_of(panel.post(reverse(SUBSCRIBERS), data | told))
        assert "still to come" in text or "This field is required" in text
    assert not LogEntry.objects.exists()
    reader.refresh_from_db()
    assert reader.state_at(NOW) == "active"


def test_her_mailbox_gets_no_more_letters_from_operators_than_from_strangers(panel, clock):
    reader = make.subscriber()
    for _ in range(5):
        act_on(panel, reader, "send_link")
        clock.now += timedelta(minutes=20)
    assert reader.letters.filter(kind="link").count() == 3


def test_the_day_that_failed_is_planned_anew_and_the_day_that_was_sent_is_not(panel):
    digest = planned_digest()
    ledger.end([digest.letter], "failed", "refused: 554 no", NOW)
    assert "Planned anew: 1." in act_on(panel, digest.subscriber, "plan_anew")
    digest.letter.refresh_from_db()
    assert digest.letter.state == "planned"
    assert LogEntry.objects.get().get_change_message() == "Planned the digest of 2026-06-01 anew."
    delivery.deliver_due(lambda: NOW)
    text = text_of(page(panel, digest.subscriber))
    assert "not planned anew: it was sent on 1 Jun 2026" in text
    url = reverse("admin:subscriptions_subscriber_plan_anew", args=[digest.subscriber.pk])
    assert panel.post(url, {"_form_submitted": "on"}).status_code == 403
    many = {"action": "plan_anew_selected", "_selected_action": [digest.subscriber.pk]}
    answered = panel.post(reverse(SUBSCRIBERS), many | {"confirmed": "yes"}, follow=True)
    assert "Not planned anew: 1. It was sent on" in text_of(answered)


def select(panel, act, readers):
    """Do it to several readers from the list. Return what the list says then."""
    told = {"action": f"{act}_selected", "_selected_action": [one.pk for one in readers]}
    return text_of(panel.post(reverse(SUBSCRIBERS), told | {"confirmed": "yes"}, follow=True))


def test_for_whom_there_is_no_time_is_left_as_he_is_and_it_is_said(panel, monkeypatch):
    monkeypatch.setattr(acts, "SECONDS", -1)
    readers = [make.subscriber(paused_until=date(2026, 6, 9)) for _ in range(3)]
    text = select(panel, "resume", readers)
    assert "Ended the pause of: 1." in text
    assert "There was no time for 2 more" in text
    assert Subscriber.objects.filter(paused_until=None).count() == 1
    assert LogEntry.objects.count() == 1


def test_papers_of_a_long_time_are_read_once_for_all_whose_day_is_planned_anew(panel, monkeypatch):
    make.paper("Sparse attention for long documents")
    long_ago, topic = NOW - timedelta(days=20), make.topic("Sparse attention")
    readers = [
        make.subscriber(topics=[topic], confirmed_at=NOW - timedelta(days=40)) for _ in range(3)
    ]
    for reader in readers:
        moments = {"created_at": long_ago, "closes_at": long_ago, "ended_at": long_ago}
        had = reader.letters.create(kind="digest", state="accepted", day=long_ago.date(), **moments)
        Digest.objects.create(subscriber=reader, day=had.day, letter=had)
    planning.plan(NOW)
    ledger.end(Letter.objects.filter(day=NOW.date()), "failed", "refused: 554 no", NOW)
    made, make_issue = [], editions._make
    monkeypatch.setattr(editions, "_make", lambda *told: made.append(told[1]) or make_issue(*told))
    assert "Planned anew: 3." in select(panel, "plan_anew", readers)
    assert made == [30]
    select(panel, "plan_anew", readers)
    assert editions._name(30) not in editions._last


def test_when_many_look_nothing_is_planned_anew_and_it_is_said(panel, monkeypatch):
    digest = planned_digest()
    ledger.end([digest.letter], "failed", "refused: 554 no", NOW)
    monkeypatch.setattr(front, "PATIENCE", 0)
    with front.turn(), front.turn():
        assert "Many are looking" in select(panel, "plan_anew", [digest.subscriber])
    assert "Planned anew: 1." in select(panel, "plan_anew", [digest.subscriber])


def test_her_page_tells_day_by_day_what_she_got_and_why_nothing_came(panel):
    make.paper("Sparse attention for <long> documents")
    week = timedelta(days=7)
    reader = make.subscriber(
        topics=[make.topic("Sparse attention")], confirmed_at=NOW - week, weekdays=0b0000011
    )
    planning.plan(NOW)
    text = text_of(page(panel, reader))
    assert "Mon 1 June waiting" in text
    assert "1 paper of 1 that were new to her" in text
    assert "1. Sparse attention for &lt;long&gt; documents" in text
    assert "Sun 31 May It is not one of her days of the week." in text
    assert "Tue 26 May None was written down" in text
    assert "Sun 24 May" not in text
    assert "has not confirmed yet" in text_of(page(panel, make.subscriber(confirmed=False)))


def test_unsubscribing_in_the_panel_says_goodbye_too(panel):
    reader = make.subscriber()
    url = reverse("admin:subscriptions_subscriber_unsubscribe", args=[reader.pk])
    panel.post(url, {"_form_submitted": "on"})
    assert [letter.kind for letter in reader.letters.all()] == ["goodbye"]


def test_erasing_leaves_no_address_and_no_words_of_hers_in_the_panels_log(panel):
    reader = make.subscriber("you@example.org", interests="sparse attention")
    response = page(panel, reader)
    panel.post(response.request["PATH_INFO"], form_of(response) | {"preferences-0-weight": "2"})
    assert LogEntry.objects.filter(object_repr="you@example.org").exists()
    data = {"action": "erase_selected", "_selected_action": [reader.pk], "confirmed": "yes"}
    panel.post(reverse(SUBSCRIBERS), data)
    assert not Subscriber.objects.exists()
    assert [entry.object_repr for entry in LogEntry.objects.all()] == [f"Subscriber {reader.pk}"]


def test_erasing_herself_clears_the_panels_log_too(panel):
    reader = make.subscriber("you@example.org")
    response = page(panel, reader)
    panel.post(response.request["PATH_INFO"], form_of(response) | {"size": "5"})
    signup.erase(reader, now=NOW)
    assert not LogEntry.objects.exists()


def test_an_address_is_found_however_its_domain_is_written(panel):
    make.subscriber("you@xn--bcher-kva.example")
    make.subscriber("other@example.org")
    text = text_of(panel.get(reverse(SUBSCRIBERS), {"q": "you@Bücher.example"}))
    assert "you@bücher.example" in text
    assert "other@example.org" not in text


def test_topics_of_the_house_are_listed_and_readers_own_on_request(panel):
    followed = make.topic("Sparse attention")
    make.subscriber(topics=[followed], interests="bread")
    make.subscriber(topics=[followed], confirmed=False)
    url = reverse("admin:subscriptions_topic_changelist")
    text = text_of(panel.get(url))
    assert "bread" not in text
    row = panel.get(url).context["cl"].result_list[0]
    assert row.follower_count == 1
    text = text_of(panel.get(url, {"owner": "readers"}))
    assert "bread" in text
    assert "Sparse attention" not in text


def test_subjects_and_categories_are_listed_apart(panel):
    make.topic("Sparse attention")
    make.topic("Machine learning", slug="arxiv-cs-lg", categories=["cs.LG"])
    url = reverse("admin:subscriptions_topic_changelist")
    for owner, names in (("subjects", ["Sparse attention"]), ("categories", ["Machine learning"])):
        listed = panel.get(url, {"owner": owner}).context["cl"].result_list
        assert [topic.name for topic in listed] == names


def test_a_topics_page_tells_which_new_papers_match_and_by_which_words(panel):
    make.paper("Attention that is sparse for <long> documents")
    make.paper("Sparse attention last month", day=date(2026, 5, 1))
    make.paper("Bread and butter")
    fitting.fit(NOW)
    html = page(panel, make.topic("Sparse attention")).content.decode()
    assert "Attention that is sparse for &lt;long&gt; documents" in html
    assert "Sparse, attention" in html
    assert "last month" not in html
    assert "Bread" not in html


def test_a_topics_page_fits_no_model(panel):
    make.paper("Sparse attention")
    assert "No model has been fitted yet" in text_of(page(panel, make.topic()))
    assert not FittedModel.objects.exists()


def test_a_topic_of_the_house_needs_a_slug(panel):
    data = {"name": "Attention", "slug": "", "query": "attention"}
    response = panel.post(reverse("admin:subscriptions_topic_add"), data)
    assert response.context["adminform"].form.errors == {"slug": ["This field is required."]}


def test_a_readers_own_topic_can_be_seen_but_not_changed(panel):
    make.subscriber(interests="bread")
    own = Topic.objects.get()
    assert page(panel, own).status_code == 200
    url = reverse("admin:subscriptions_topic_change", args=[own.pk])
    assert panel.post(url, {"name": "x", "query": "x"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [own.pk], "post": "yes"}
    panel.post(reverse("admin:subscriptions_topic_changelist") + "?owner=all", data)
    assert Topic.objects.get().name == "bread"


def test_a_digest_shows_its_letter_and_writes_nothing(panel):
    digest = planned_digest()
    assert reverse("admin:digest_digest_preview", args=[digest.pk, "html"]) in (
        page(panel, digest).content.decode()
    )
    before = list(Letter.objects.values())
    response = panel.get(reverse("admin:digest_digest_preview", args=[digest.pk, "html"]))
    assert "Sparse attention for &lt;long&gt; documents" in response.content.decode()
    text = panel.get(reverse("admin:digest_digest_preview", args=[digest.pk, "text"]))
    assert "1. Sparse attention for <long> documents" in text.content.decode()
    assert text["Content-Type"] == "text/plain; charset=utf-8"
    assert list(Letter.objects.values()) == before


def test_a_preview_is_shut_in(panel):
    digest = planned_digest()
    response = panel.get(reverse("admin:digest_digest_preview", args=[digest.pk, "html"]))
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    policy = response["Content-Security-Policy"].split("; ")
    assert {"sandbox", "default-src 'none'", "style-src 'unsafe-inline'"} <= set(policy)
    panel.logout()
    asked = panel.get(reverse("admin:digest_digest_preview", args=[digest.pk, "html"]))
    assert asked.status_code == 302


@pytest.mark.parametrize("model", [Letter, Paper, Digest, FittedModel])
def test_what_the_service_writes_is_only_shown(panel, model):
    planned_digest()
    row = model.objects.first()
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert page(panel, row).status_code == 200
    assert panel.post(reverse(f"{name}_change", args=[row.pk]), {}).status_code == 403
    assert panel.get(reverse(f"{name}_add")).status_code == 403
    assert panel.post(reverse(f"{name}_delete", args=[row.pk])).status_code == 403


def test_a_letters_page_tells_what_happened(panel):
    digest = planned_digest()
    signup.unsubscribe(digest.subscriber.public_id, door=signup.Door("a test"), now=NOW)
    text = text_of(page(panel, digest.letter))
    assert "State not sent" in text
    assert "It was not sent: unsubscribed." in text
    assert "planned skipped" in text
