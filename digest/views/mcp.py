"""MCP: an assistant calls the API as tools, with the same token and limits.

JSON-RPC over POST, without sessions: https://modelcontextprotocol.io/specification/2026-07-28.
Clients of earlier versions begin with a handshake, which needs no state here either.
"""

import json
import tomllib
from pathlib import Path

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponse, JsonResponse
from django.utils import timezone
from ninja import Router

from digest.views import api

VERSION = "2026-07-28"
HANDSHAKE_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
META = "io.modelcontextprotocol"
CACHE_FIELDS = {"ttlMs": 3_600_000, "cacheScope": "public"}  # The same for everyone.
INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32600, -32601, -32602
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022

TOOLS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["tools"]
TYPES = {"string": str, "boolean": bool}
#: Each takes the subscriber, the time and the tool's arguments.
TOOL_FUNCTIONS = {
    "get_digest": lambda subscriber, now: api.latest_digest(subscriber),
    "search_papers": lambda _, now, query, newest=False: api.results_of(query, newest=newest),
    "get_paper": lambda subscriber, now, paper: api.paper_for(subscriber, paper),
    "similar_papers": lambda subscriber, now, paper: api.similar_to(paper),
    "give_feedback": lambda owner, now, paper, value: api.store_feedback(owner, paper, value, now),
}


router = Router()


class RpcError(Exception):
    """A request that is answered with a JSON-RPC error: its code, message and data, if any."""


@router.post("/mcp", include_in_schema=False)
def answer(request):
    if request.headers.get("Origin", settings.SITE_URL) != settings.SITE_URL:
        return JsonResponse({"error": "Scripts of other sites cannot use MCP."}, status=403)
    request_id = None
    try:
        method, params, request_id = _parse_request(request)
        if request_id is None:
            return HttpResponse(status=202)  # A notification.
        _check_version(request, method, params)
        result = {"resultType": "complete"} | _method_result(method, params, request.auth)
    except RpcError as rpc_error:
        error = dict(zip(("code", "message", "data"), rpc_error.args, strict=False))
        status = 404 if error["code"] == METHOD_NOT_FOUND else 400
        return JsonResponse({"jsonrpc": "2.0", "id": request_id, "error": error}, status=status)
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def _parse_request(request):
    """Return the method, the parameters and the id, which notifications lack."""
    try:
        message = json.loads(request.body)
        fields = message["method"], message.get("params", {}), message.get("id")
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        fields = None, None, None
    if not all(map(isinstance, fields, (str, dict, int | str | None))):
        raise RpcError(INVALID_REQUEST, "Send one JSON-RPC request.")
    return fields


def _check_version(request, method, params) -> None:
    """Raise RpcError for an unknown version, and for headers that differ from the body."""
    version, meta = request.headers.get("Mcp-Protocol-Version", ""), params.get("_meta")
    if version in HANDSHAKE_VERSIONS or not version:
        return
    expected_headers = {"Mcp-Method": method, "Mcp-Protocol-Version": None}
    if isinstance(meta, dict):
        expected_headers["Mcp-Protocol-Version"] = meta.get(f"{META}/protocolVersion")
    if method == "tools/call":
        expected_headers["Mcp-Name"] = params.get("name")
    for name, value in expected_headers.items():
        if request.headers.get(name) != value:
            raise RpcError(HEADER_MISMATCH, f"The header {name} differs from the request.")
    if version != VERSION:
        versions = {"supported": [VERSION, *HANDSHAKE_VERSIONS], "requested": version}
        raise RpcError(UNSUPPORTED_VERSION, "This version is not supported.", versions)


def _method_result(method, params, subscriber) -> dict:
    server = {"capabilities": {"tools": {}}, "serverInfo": {"name": "paperboy", "version": "1"}}
    match method:
        case "server/discover":
            return server | CACHE_FIELDS | {"supportedVersions": [VERSION]}
        case "initialize":
            versions, version = HANDSHAKE_VERSIONS, params.get("protocolVersion")
            return server | {"protocolVersion": version if version in versions else versions[0]}
        case "tools/list":
            return CACHE_FIELDS | {"tools": TOOLS}
        case "tools/call":
            return _call_tool(params, subscriber)
    raise RpcError(METHOD_NOT_FOUND, "There is no such method.")


def _call_tool(params, subscriber) -> dict:
    tool_name, arguments = params.get("name"), params.get("arguments") or {}
    schema = next((tool["inputSchema"] for tool in TOOLS if tool["name"] == tool_name), None)
    if schema is None or not isinstance(arguments, dict):
        raise RpcError(INVALID_PARAMS, "There is no such tool.")
    types = {name: TYPES[field["type"]] for name, field in schema["properties"].items()}
    if not set(schema["required"]) <= arguments.keys() <= types.keys() or not all(
        isinstance(value, types[name]) for name, value in arguments.items()
    ):
        raise RpcError(INVALID_PARAMS, f"The arguments must be {json.dumps(schema)}.")
    try:
        answer = TOOL_FUNCTIONS[tool_name](subscriber, timezone.now(), **arguments)
    except (BadRequest, Http404) as error:  # For the assistant to read.
        return {"content": [{"type": "text", "text": str(error)}], "isError": True}
    text = JsonResponse(answer).content.decode()
    return {"content": [{"type": "text", "text": text}], "structuredContent": answer}
