"""MCP: an assistant calls the API as tools, with the same token and limits.

JSON-RPC over POST, without sessions: https://modelcontextprotocol.io/specification/2026-07-28.
Clients of earlier versions begin with a handshake, which needs no state here either.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import Http404, HttpResponse, JsonResponse

from digest.personalization.feedback import VALUES
from digest.views import api

VERSION = "2026-07-28"
HANDSHAKE_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
META_VERSION = "io.modelcontextprotocol/protocolVersion"
META_SERVER = "io.modelcontextprotocol/serverInfo"
CACHED_MS = 3_600_000  # The list of tools is the same for everyone.

PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS = -32700, -32600, -32602
METHOD_NOT_FOUND, HEADER_MISMATCH, UNSUPPORTED_VERSION = -32601, -32020, -32022

TEXT, FLAG = {"type": "string"}, {"type": "boolean"}
PAPER = TEXT | {"description": "The id of a paper, such as 2606.04235."}


class Tool(NamedTuple):
    """`call` takes the subscriber, the time and the arguments. All but flags are required."""

    description: str
    arguments: dict[str, dict]
    call: Callable[..., dict]
    is_read_only: bool = True


TOOLS = {
    "get_digest": Tool(
        "The subscriber's latest digest: papers picked for them, best first, each with the reason.",
        {},
        lambda subscriber, now: api.latest_digest(subscriber),
    ),
    "search_papers": Tool(
        "Search all stored papers by words, a title or an author.",
        {"query": TEXT, "newest": FLAG | {"description": "The newest first, not the best."}},
        lambda subscriber, now, query, newest=False: api.results_of(query, newest=newest),
    ),
    "get_paper": Tool(
        "One paper with its abstract, and the subscriber's feedback on it.",
        {"paper": PAPER},
        lambda subscriber, now, paper: api.paper_for(subscriber, paper),
    ),
    "similar_papers": Tool(
        "The papers that are most similar to one.",
        {"paper": PAPER},
        lambda subscriber, now, paper: api.similar_to(paper),
    ),
    "give_feedback": Tool(
        "Store the subscriber's feedback on a paper, which changes their next digests.",
        {"paper": PAPER, "value": TEXT | {"enum": sorted(VALUES)}},
        lambda subscriber, now, paper, value: api.store_feedback(subscriber, paper, value, now),
        is_read_only=False,
    ),
}


class Fault(Exception):
    """A request that is answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: dict | None = None):
        super().__init__(message)
        self.error = {"code": code, "message": message} | ({"data": data} if data else {})
        self.status = 404 if code == METHOD_NOT_FOUND else 400


@api.endpoint("POST")
def answer(request, subscriber, now):
    if request.headers.get("Origin", settings.SITE_URL) != settings.SITE_URL:
        return JsonResponse({"error": "Scripts of other sites cannot use MCP."}, status=403)
    number = None
    try:
        message = _message(request)
        if "id" not in message:
            return HttpResponse(status=202)  # A notification.
        number = message["id"]
        _check_version(request, message)
        result = _result(message["method"], message["params"], subscriber, now)
    except Fault as fault:
        failure = {"jsonrpc": "2.0", "id": number, "error": fault.error}
        return JsonResponse(failure, status=fault.status)
    return {"jsonrpc": "2.0", "id": number, "result": {"resultType": "complete"} | result}


def _message(request) -> dict:
    try:
        message = json.loads(request.body)
    except (ValueError, RecursionError):
        raise Fault(PARSE_ERROR, "The body is not JSON.") from None
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        raise Fault(INVALID_REQUEST, "Send one JSON-RPC request.")
    if not isinstance(message.get("id", 0), int | str):
        raise Fault(INVALID_REQUEST, "The id must be a number or a string.")
    if not isinstance(message.setdefault("params", {}), dict):
        raise Fault(INVALID_PARAMS, "params must be an object.")
    return message


def _check_version(request, message) -> None:
    """Raise Fault for a version that is not known, or headers that the body contradicts."""
    version, params = request.headers.get("Mcp-Protocol-Version", ""), message["params"]
    if version in HANDSHAKE_VERSIONS or not version:
        return
    meta = params.get("_meta")
    expected = {
        "Mcp-Protocol-Version": meta.get(META_VERSION) if isinstance(meta, dict) else None,
        "Mcp-Method": message["method"],
    }
    if message["method"] == "tools/call":
        expected["Mcp-Name"] = params.get("name")
    for name, value in expected.items():
        if request.headers.get(name) != value:
            raise Fault(HEADER_MISMATCH, f"The header {name} differs from the request.")
    if version != VERSION:
        versions = {"supported": [VERSION, *HANDSHAKE_VERSIONS], "requested": version}
        raise Fault(UNSUPPORTED_VERSION, "This version is not supported.", versions)


def _result(method, params, subscriber, now) -> dict:
    server = {"name": "paperboy", "title": settings.SITE_NAME, "version": "1"}
    able = {"capabilities": {"tools": {}}}
    cached = {"ttlMs": CACHED_MS, "cacheScope": "public"}
    match method:
        case "server/discover":
            about = {"supportedVersions": [VERSION], "_meta": {META_SERVER: server}}
            return able | cached | about
        case "initialize":
            asked = params.get("protocolVersion")
            version = asked if asked in HANDSHAKE_VERSIONS else HANDSHAKE_VERSIONS[0]
            return able | {"protocolVersion": version, "serverInfo": server}
        case "ping":
            return {}
        case "tools/list":
            return cached | {"tools": [_described(name, tool) for name, tool in TOOLS.items()]}
        case "tools/call":
            return _called(params, subscriber, now)
    raise Fault(METHOD_NOT_FOUND, "There is no such method.")


def _described(name, tool):
    required = [each for each, schema in tool.arguments.items() if schema["type"] == "string"]
    schema = {"type": "object", "properties": tool.arguments, "required": required}
    return {
        "name": name,
        "description": tool.description,
        "inputSchema": schema | {"additionalProperties": False},
        "annotations": {"readOnlyHint": tool.is_read_only, "destructiveHint": False},
    }


def _called(params, subscriber, now) -> dict:
    name, arguments = params.get("name"), params.get("arguments") or {}
    tool = TOOLS.get(name) if isinstance(name, str) else None
    if tool is None or not isinstance(arguments, dict):
        raise Fault(INVALID_PARAMS, "There is no such tool.")
    types = {"string": str, "boolean": bool}
    schema = _described(name, tool)["inputSchema"]
    is_known = arguments.keys() <= tool.arguments.keys()
    is_valid = is_known and arguments.keys() >= set(schema["required"])
    if not is_valid or not all(
        isinstance(value, types[tool.arguments[each]["type"]]) for each, value in arguments.items()
    ):
        raise Fault(INVALID_PARAMS, f"The arguments must be {json.dumps(schema)}.")
    try:
        found = tool.call(subscriber, now, **arguments)
    except (BadRequest, Http404) as error:  # For the assistant to read.
        return {"content": [{"type": "text", "text": str(error)}], "isError": True}
    text = JsonResponse(found).content.decode()
    return {"content": [{"type": "text", "text": text}], "structuredContent": found}
