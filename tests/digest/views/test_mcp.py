"""MCP: the tools, by the official client and by hand, and what is refused."""

import asyncio
import json

import pytest
from django.test import Client

from digest.indexing import index_store
from digest.planning import plan
from digest.views import api, mcp
from subscriptions.models import Attempt
from subscriptions.security import api_tokens
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers import data_files, services
from tests.helpers.tables import everything

pytestmark = pytest.mark.django_db
REFUSED = data_files.load("api_requests.toml")
META = {"_meta": {f"{mcp.META}/protocolVersion": mcp.VERSION}}


@pytest.fixture
def subscriber():
    """A subscriber with a token and a digest of two similar papers."""
    for number in (1, 2):
        make.paper("Graph networks" * number, "On graph networks.", id=f"2606.{number}")
    subscriber = make.subscriber("reader@example.org", interests="graph networks")
    plan.plan(NOW)
    subscriber.letters.update(state="accepted", ended_at=NOW)
    index_store.renew(NOW)
    subscriber.token = api_tokens.make(subscriber, NOW)
    return subscriber


def post(token, body, **headers):
    headers["authorization"] = f"Bearer {token}"
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    return client.post("/mcp", body, content_type="application/json", headers=headers)


def send(token, method, params=None, **headers):
    params = META | (params or {})
    sent = {"mcp-protocol-version": mcp.VERSION, "mcp-method": method}
    sent["mcp-name"] = str(params.get("name"))
    message = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    return post(token, json.dumps(message), **(sent | headers))


def call(token, name, **arguments):
    return send(token, "tools/call", {"name": name, "arguments": arguments})


def test_each_tool_answers_as_the_api_does(subscriber):
    for name, arguments, path in (
        ("get_digest", {}, "digest/"),
        ("search_papers", {"query": "graph", "newest": True}, "search/?q=graph&order=new"),
        ("get_paper", {"paper": "2606.1"}, "papers/2606.1/"),
    ):
        headers = {"authorization": f"Bearer {subscriber.token}"}
        same = Client().get(f"/api/v1/{path}", headers=headers).json()
        result = call(subscriber.token, name, **arguments).json()["result"]
        assert result["structuredContent"] == json.loads(result["content"][0]["text"]) == same
    similar = call(subscriber.token, "similar_papers", paper="2606.1").json()["result"]
    assert [paper["id"] for paper in similar["structuredContent"]["papers"]] == ["2606.2"]
    call(subscriber.token, "give_feedback", paper="2606.1", value="less")
    assert subscriber.feedback.get().opinion == "less"


FAILED = [("get_paper", {"paper": id}, "There is no such paper.") for id in ("2606.9", "a\0")]
FAILED += [("search_papers", {"query": q}, "Say what to search for") for q in (" ", "\ud800")]
FAILED += [("give_feedback", {"paper": "2606.1", "value": "like"}, "The value must be one of")]


@pytest.mark.parametrize(("name", "arguments", "said"), FAILED)
def test_tool_says_what_is_wrong_with_its_arguments(subscriber, name, arguments, said):
    result = call(subscriber.token, name, **arguments).json()["result"]
    assert result["isError"]
    assert result["content"][0]["text"].startswith(said)


CALLS = [{"method": "tools/call", "params": params} for params in REFUSED["mcp_calls"]]
MALFORMED = [(body, 400, mcp.INVALID_REQUEST) for body in [*REFUSED["mcp"], "[" * 100_000]]
MALFORMED += [(call, 400, mcp.INVALID_PARAMS) for call in CALLS]
MALFORMED += [({"method": "resources/list"}, 404, mcp.METHOD_NOT_FOUND)]


@pytest.mark.parametrize(("body", "status", "code"), MALFORMED)
def test_malformed_request_is_refused_and_changes_nothing(subscriber, body, status, code):
    before = everything()
    body = json.dumps({"id": 1} | body) if isinstance(body, dict) else body.encode("latin-1")
    answer = post(subscriber.token, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    after = everything()
    assert {model for model in before if before[model] != after[model]} == {Attempt}


@pytest.mark.parametrize("header", ["mcp-protocol-version", "mcp-method", "mcp-name"])
def test_request_is_refused_when_a_header_contradicts_it(subscriber, header):
    answer = send(subscriber.token, "tools/call", {"name": "get_digest"}, **{header: "other"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, mcp.HEADER_MISMATCH)


def test_unknown_version_is_answered_with_the_known_ones(subscriber):
    params = {"_meta": {f"{mcp.META}/protocolVersion": "2030-01-01"}}
    answer = send(subscriber.token, "tools/list", params, **{"mcp-protocol-version": "2030-01-01"})
    assert answer.json()["error"]["code"] == mcp.UNSUPPORTED_VERSION
    assert mcp.VERSION in answer.json()["error"]["data"]["supported"]


@pytest.mark.parametrize("method", ["server/discover", "initialize", "tools/list", "tools/call"])
def test_nothing_is_answered_without_a_valid_token(subscriber, method):
    api_tokens.revoke(subscriber)
    for token in ("", "pb_x", subscriber.token):
        answer = send(token, method, {"name": "get_digest"})
        assert (answer.status_code, answer.json().keys()) == (401, {"error"})


def test_requests_count_for_the_limit_of_the_api(subscriber, monkeypatch):
    monkeypatch.setattr(api, "MAX_REQUESTS_AN_HOUR", 3)
    statuses = [call(subscriber.token, "get_digest").status_code for _ in range(20)]
    assert [statuses.count(status) for status in (200, 429)] == [3, 17]


def test_notification_is_accepted_but_other_origins_are_refused(subscriber):
    answer = post(subscriber.token, '{"method": "notifications/initialized"}')
    assert (answer.status_code, answer.content) == (202, b"")
    assert "no-store" in answer["Cache-Control"]
    assert send(subscriber.token, "tools/list", origin="https://other.example").status_code == 403
    assert Client().get("/mcp").status_code == 405


async def use_client(url, token, mode):
    """Return the names of the tools, the digest, and what feedback is answered with."""
    import httpx2
    from mcp.client import Client as McpClient
    from mcp.client.streamable_http import streamable_http_client

    headers = {"Authorization": f"Bearer {token}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False) as http:
        transport = streamable_http_client(f"{url}/mcp", http_client=http)
        async with McpClient(transport, mode=mode) as client:
            tools = await client.list_tools()
            digest = await client.call_tool("get_digest", {})
            said = await client.call_tool("give_feedback", {"paper": "2606.1", "value": "save"})
            return {tool.name for tool in tools.tools}, digest, said


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("mode", ["auto", "legacy", mcp.VERSION])
def test_official_client_lists_tools_reads_digest_and_gives_feedback(live_server, subscriber, mode):
    services.require("mcp")
    tools, digest, said = asyncio.run(use_client(live_server.url, subscriber.token, mode))
    assert tools == mcp.TOOL_FUNCTIONS.keys()
    assert len(digest.structured_content["papers"]) == 2
    assert said.structured_content["is_saved"]
    assert subscriber.feedback.get().saved_at == NOW
    api_tokens.revoke(subscriber)
    with pytest.RaisesGroup(Exception, flatten_subgroups=True):
        asyncio.run(use_client(live_server.url, subscriber.token, mode))
