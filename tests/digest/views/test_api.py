"""The API: what a subscriber's token opens, that it opens nothing else, and its description."""

import json
import logging

import pytest
from django.db import OperationalError, connection
from django.test import Client

from digest.indexing import index_store
from digest.models import Feedback
from digest.planning import plan
from digest.views import api
from digest.views.about import type_name
from subscriptions.actions import change_address, erase, signup
from subscriptions.models import ApiToken, Attempt
from subscriptions.security import api_tokens, tokens
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, HOUR, NOW, SECOND
from tests.helpers import data_files
from tests.helpers.tables import everything

REFUSED = data_files.load("api_requests.toml")

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscriber():
    """A subscriber with a token and a digest of two papers, one of which they saved."""
    make.paper("Graph networks", "On graphs.", id="2606.1", categories=["cs.LG"], doi="10.1000/x")
    make.paper("Networks of graphs", id="biorxiv:10.1101/1", authors=["Ada Example"])
    subscriber = make.subscriber("reader@example.org", interests="graph networks", language="de")
    plan.plan(NOW)
    subscriber.letters.update(state="accepted", ended_at=NOW)
    values = {"value": "more", "at": NOW, "saved_at": NOW, "note": "Read", "labels": "a, b"}
    subscriber.feedback.create(paper_id="2606.1", **values)
    index_store.renew(NOW)
    subscriber.token = api_tokens.make(subscriber, NOW)
    return subscriber


def call(path, token="", method="get", body=None, **headers):
    headers |= {"authorization": f"Bearer {token}"} if token else {}
    sent = {} if body is None else {"data": body, "content_type": "application/json"}
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    return client.generic(method.upper(), f"/api/v1{path}", headers=headers, **sent)


def say(token, paper="2606.1", value="less"):
    return call("/feedback/", token, "post", json.dumps({"paper": paper, "value": value}))


def send(token, **lists):
    return call("/interests/", token, "post", json.dumps(lists))


PATHS = ("/digest/", "/search/?q=graph", "/papers/2606.1/", "/saved/", "/interests/", "/feedback/")


# ---- What it answers


def test_digest_is_latest_sent_in_subscribers_language(subscriber):
    subscriber.picks.update(basis="learned", score=0.123456)
    digest = call("/digest/", subscriber.token).json()
    papers = {paper["id"]: paper for paper in digest["papers"]}
    assert (digest["day"], papers.keys()) == ("2026-06-01", {"2606.1", "biorxiv:10.1101/1"})
    expected = {"opinion": "more", "is_saved": True, "section": "new", "score": 0.1235}
    assert papers["2606.1"].items() >= expected.items()
    assert papers["2606.1"]["reason"].startswith("Ähnlich wie „graph networks“")
    subscriber.letters.update(state="planned", ended_at=None)
    assert call("/digest/", subscriber.token).json() == {"day": None, "papers": []}


def test_search_finds_papers(subscriber):
    results = call("/search/?q=+graph++networks", subscriber.token).json()
    assert (results["query"], results["count"]) == ("graph networks", 2)
    assert results["papers"][0]["title"] == "Graph networks"
    assert call("/search/?q=xyzzy", subscriber.token).json()["papers"] == []
    for nothing in ("", "?q=", "?q=%20"):
        assert call(f"/search/{nothing}", subscriber.token).status_code == 400


def test_paper_includes_subscribers_feedback(subscriber):
    other = call("/papers/biorxiv:10.1101/1/", subscriber.token).json()
    assert (other["authors"], other["opinion"], other["is_saved"]) == (["Ada Example"], "", False)
    assert call("/papers/2606.1/", subscriber.token).json()["opinion"] == "more"
    assert call("/papers/2606.9/", subscriber.token).status_code == 404


def test_saved_papers_are_paginated(subscriber, monkeypatch):
    say(subscriber.token, "biorxiv:10.1101/1", "save")
    monkeypatch.setattr(api, "PAGE_SIZE", 1)
    pages = [call(f"/saved/?page={n}", subscriber.token).json() for n in (1, 2, 9, "x")]
    assert [page["page"] for page in pages] == [1, 2, 2, 1]
    assert {(page["count"], page["pages"]) for page in pages} == {(2, 2)}
    papers = {page["papers"][0]["id"]: page["papers"][0] for page in pages}
    assert papers.keys() == {"2606.1", "biorxiv:10.1101/1"}
    noted = {"labels": ["a", "b"], "note": "Read", "saved_at": "2026-06-01T12:00:00Z"}
    assert papers["2606.1"].items() >= noted.items()


def test_feedback_may_be_repeated(subscriber):
    for value, *expected in (
        *(("less", "less", True), ("less", "less", True), ("unsave", "less", False)),
        *(("save", "less", True), ("clear", "", False)),
    ):
        answer = say(subscriber.token, value=value).json()
        assert [answer["opinion"], answer["is_saved"]] == expected
    assert not Feedback.objects.exists()


def lines_of(answer):
    """Return what a POST sends to keep the interests of an answer."""
    own = {name: [one["line"] for one in answer[name]] for name in ("interests", "muted_interests")}
    return own | {name: [one["slug"] for one in answer[name]] for name in ("topics", "mute")}


def test_interests_are_returned_with_kinds_and_lines(subscriber):
    make.topic("Bread")
    lines = ["I work on sea ice, but not on penguins", "author: Ada Example", "cs.RO", "not: fish"]
    answer = send(
        subscriber.token, interests=[*lines, "words: Sea ice, a review", "topic: bread"]
    ).json()
    assert [(one["kind"], one["line"]) for one in answer["interests"]] == [
        *(("text", lines[0]), ("author", "author: Ada Example"), ("category", "cs.RO")),
        ("words", "words: Sea ice, a review"),
    ]
    assert [one["text"] for one in answer["muted_interests"]] == ["fish"]
    assert answer["topics"] == [{"slug": "bread", "name": "Bread"}]
    assert call("/interests/", subscriber.token).json() == answer


def test_interests_sent_back_unchanged_stay_stored(subscriber):
    old = "I work on bread, cake, but no surveys\nsea ice, coral reefs\nauthor: Ada Example\ncs.RO"
    hidden = make.topic("Hidden", is_offered=False)
    other = make.subscriber(interests=old, topics=[hidden], muted=[make.topic("cs.LG: Learning")])
    other.preferences.filter(topic__query="cs.RO").update(stance="mute")
    token, before = api_tokens.make(other, NOW), everything()
    answer = call("/interests/", token).json()
    assert {one["kind"] for one in answer["interests"]} == {""}
    assert send(token, **lines_of(answer)).json() == answer
    after = everything()
    assert before.pop(Attempt) != after.pop(Attempt)
    assert before == after


def test_omitted_list_stays_and_empty_list_clears(subscriber):
    topic = make.topic("Sea ice")
    subscriber.preferences.create(topic=topic, stance="mute", weight=2.5)
    answer = send(subscriber.token, interests=["bread"], muted_interests=["cake"]).json()
    own = {"interests": ["bread"], "muted_interests": ["cake"]}
    assert lines_of(answer) == own | {"topics": [], "mute": ["sea-ice"]}
    assert subscriber.preferences.get(topic=topic).weight == 2.5
    answer = send(subscriber.token, mute=[], topics=["sea-ice"]).json()
    assert lines_of(answer) == own | {"topics": ["sea-ice"], "mute": []}


@pytest.mark.parametrize("path", PATHS[:-1])
def test_get_changes_nothing_and_sends_no_cors_headers(subscriber, path):
    before = everything()
    headers = {"origin": "https://elsewhere.example"}
    answer, head, asked = (
        call(path, subscriber.token, method, **headers) for method in ("get", "head", "options")
    )
    assert [one.status_code for one in (answer, head, asked)] == [200, 200, 405]
    assert head.content == b""
    for one in (answer, head, asked):
        assert {"private", "no-store"} <= set(one["Cache-Control"].split(", "))
        assert "access-control" not in str(one.headers).lower()
        assert not one.cookies
    after = everything()
    assert len(after.pop(Attempt)) == len(before.pop(Attempt)) + 2
    assert after == before


# ---- Tokens


def refused(token, path="/digest/", **more):
    answer = call(path, token, **more)
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Bearer")
    return answer


@pytest.mark.parametrize("path", PATHS)
def test_wrong_token_opens_no_address(subscriber, path):
    before = everything()
    body = json.dumps({"paper": "2606.1", "value": "less"})
    sent = {"method": "post", "body": body} if path == "/feedback/" else {}
    near = subscriber.token[:-1], subscriber.token.swapcase()
    for token in ("", "x", *near, "pb_é", "pb_" + "x" * 9_000):
        refused(token, path, **sent)
    refused(tokens.own_token("preferences", subscriber), path, **sent)
    for scheme in ("Basic", "Token", ""):
        refused("", path, authorization=f"{scheme} {subscriber.token}".strip(), **sent)
    refused("", f"{path}{'&' if '?' in path else '?'}token={subscriber.token}", **sent)
    after = everything()
    assert len(after.pop(Attempt)) == len(before.pop(Attempt)) + 6
    assert after == before


def test_token_opens_only_the_api(client, subscriber):
    for page in ("preferences", "me", "saved", "feeds", "feedback", "digests", "unsubscribe"):
        bearer = {"authorization": f"Bearer {subscriber.token}"}
        assert client.get(f"/{page}/{subscriber.token}/", headers=bearer).status_code == 404


def test_token_opens_only_its_subscribers_data(subscriber):
    other = make.subscriber(interests="bread")
    token = api_tokens.make(other, NOW)
    assert call("/digest/", token).json()["papers"] == []
    assert call("/saved/", token).json()["papers"] == []
    assert call("/papers/2606.1/", token).json()["opinion"] == ""
    assert say(token).json()["opinion"] == "less"
    assert subscriber.feedback.get().opinion == "more"


def test_replaced_and_revoked_tokens_are_refused(subscriber):
    new = api_tokens.make(subscriber, NOW + HOUR)
    refused(subscriber.token)
    assert call("/digest/", new).status_code == 200
    assert len({subscriber.token, new, api_tokens.make(subscriber, NOW)}) == 3
    api_tokens.revoke(subscriber)
    refused(new)


def test_token_ends_with_address_change_or_erasure(subscriber):
    signup.unsubscribe(subscriber.public_id, source=CONSENT_SOURCE, now=NOW)
    assert call("/digest/", subscriber.token).json()["papers"]
    subscriber.refresh_from_db()
    subscriber.unsubscribed_at, subscriber.next_due_at = None, NOW
    subscriber.save()
    change_address.request(subscriber, "new@example.org", now=NOW)
    for side in ("old", "new"):
        assert call("/digest/", subscriber.token).status_code == 200
        change_address.approve(subscriber, side, NOW, source=CONSENT_SOURCE, now=NOW)
    refused(subscriber.token)
    token = api_tokens.make(subscriber, NOW)
    erase.erase(subscriber, now=NOW)
    refused(token)
    assert not ApiToken.objects.exists()


def test_token_is_neither_logged_nor_stored(subscriber, caplog):
    caplog.set_level(logging.DEBUG)
    for path in PATHS:
        call(path, subscriber.token)
        call(path, f"{subscriber.token}x")
    assert subscriber.token not in caplog.text
    assert subscriber.token[3:] not in repr(everything())


def test_requests_are_limited_per_subscriber(subscriber, monkeypatch, clock):
    monkeypatch.setattr(api, "MAX_REQUESTS_AN_HOUR", 2)
    assert [call(path, subscriber.token).status_code for path in PATHS[:3]] == [200, 200, 429]
    token = api_tokens.make(subscriber, NOW)
    late = call("/digest/", token)
    assert (late.status_code, late["Retry-After"]) == (429, "3600")
    clock.now = NOW + HOUR + SECOND
    assert call("/digest/", token).status_code == 200


def test_wrong_tokens_are_limited_per_network(subscriber, monkeypatch):
    monkeypatch.setattr(api, "MAX_BAD_TOKENS_AN_HOUR", 2)
    assert [call("/saved/", "pb_x").status_code for _ in range(3)] == [401, 401, 429]
    assert call("/saved/").status_code == 401
    assert call("/saved/", subscriber.token).status_code == 200


# ---- Bodies


DEEP = "[" * 200_000
ODD = [*REFUSED["feedback"], DEEP, '{"a": ' + "9" * 9_000 + "}"]
NO_PAPERS = ["2606.9", "", "2606.1\0", "\ud800", "x" * 9_000]


@pytest.mark.parametrize("body", ODD)
def test_invalid_feedback_is_refused(subscriber, body):
    answer = call("/feedback/", subscriber.token, "post", body.encode("latin-1"))
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    assert subscriber.feedback.get().opinion == "more"


@pytest.mark.parametrize("paper", NO_PAPERS)
def test_feedback_on_unknown_paper_is_not_found(subscriber, paper):
    assert say(subscriber.token, paper).json() == {"error": "There is no such paper."}


LONG_LISTS = [
    *({"interests": ["x" * 20_001]}, {"interests": ["word\n" * 501]}, {"topics": ["bread"] * 501}),
    {"muted_interests": [f"word{n}" for n in range(51)]},
]


@pytest.mark.parametrize("body", [*REFUSED["interests"], DEEP, *map(json.dumps, LONG_LISTS)])
def test_invalid_interests_are_refused_in_english(subscriber, body):
    answer = call("/interests/", subscriber.token, "post", body)
    error = answer.json()["error"]
    assert (answer.status_code, error[-1], "Bitte" in error) == (400, ".", False)
    assert subscriber.own_topics.get().query == "graph networks"


UNREAD = [(path, 400, {}) for path in ("/search/?q=%00", "/papers/a%00b/")]
UNREAD += [("/nowhere/", 404, {}), ("/digest/", 400, {"host": "elsewhere.example"})]
UNREAD += [("/feedback/", 413, {"method": "post", "body": b"x" * 10_000_000})]


@pytest.mark.parametrize(("path", "status", "sent"), UNREAD)
def test_errors_before_views_are_json(subscriber, path, status, sent):
    answer = call(path, subscriber.token, **sent)
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/json")
    assert answer.json().keys() == {"error"}
    assert "no-store" in answer["Cache-Control"]


# ---- Its description


def described():
    return Client().get("/api/v1/openapi.json").json()


def named(name, is_required, schema):
    return f"{name}{'' if is_required else '?'} {type_name(schema)}"


def outline(document):
    """Yield a line for each operation and each schema."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts = [
                f"{one['in']} {named(one['name'], one['required'], one['schema'])}"
                for one in operation["parameters"]
            ]
            for body in (operation.get("requestBody"), operation["responses"]["200"]):
                if body is not None:
                    parts.append(type_name(body["content"]["application/json"]["schema"]))
            parts += operation["responses"]
            yield f"{method.upper()} {path} {operation['operationId']}: {', '.join(parts)}"
    for name, schema in sorted(document["components"]["schemas"].items()):
        required = schema.get("required", [])
        fields = [named(field, field in required, of) for field, of in schema["properties"].items()]
        yield f"{name}: {', '.join(fields)}"


def test_description_is_the_contract():
    document = described()
    assert list(outline(document)) == data_files.load("api.txt")
    schemes = document["components"]["securitySchemes"].values()
    assert list(schemes) == [{"type": "http", "scheme": "bearer"}]


def no_writes(execute, sql, params, many, context):
    if sql.startswith("INSERT"):
        raise OperationalError("database or disk is full")
    return execute(sql, params, many, context)


def test_responses_have_the_described_statuses(subscriber, monkeypatch):
    seen = set()

    def see(path, method, *sent):
        """Note the status of a response."""
        status = call(path, *sent).status_code
        template = "papers/{id}/" if path.startswith("/papers/") else path.partition("?")[0][1:]
        seen.add((f"/api/v1/{template}", method, str(status)))

    operations = [(path, "get") for path in PATHS[:-1]]
    operations += [("/feedback/", "post"), ("/interests/", "post")]
    good = json.dumps({"paper": "2606.1", "value": "less"}), '{"interests": ["sea ice"]}'
    bodies = dict(zip(("/feedback/", "/interests/"), good, strict=True))
    for path, method in operations:
        body = bodies[path] if method == "post" else None
        see(path, method, subscriber.token, method, body)
        see(path, method, subscriber.token, "patch")
        see(path, method, "pb_x", method, body)
        with connection.execute_wrapper(no_writes):
            see(path, method, subscriber.token, method, body)
    see("/search/", "get", subscriber.token)
    see("/papers/x/", "get", subscriber.token)
    see("/feedback/", "post", subscriber.token, "post", '{"paper": "x", "value": "less"}')
    for path in bodies:
        for body in ("x", "x" * 1_000_001):
            see(path, "post", subscriber.token, "post", body)
    monkeypatch.setattr(api, "MAX_REQUESTS_AN_HOUR", 1)
    for path, method in operations:
        see(path, method, subscriber.token, method)
    assert seen == {
        (path, method, status)
        for path, of_path in described()["paths"].items()
        for method, operation in of_path.items()
        for status in operation["responses"]
    }
