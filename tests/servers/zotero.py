"""Zotero's Web API v3 on loopback, with one library. `add` and `delete` change it.

`collections` are the keys of its collections. An item names those that it is in.

Each request is in `asked`, as (path, parameters, headers with names in lower case). What is in
`during` is called before an answer, one an answer: as changes while a library is read.
"""

import json
from collections import deque

from digest.sources.zotero import Zotero
from tests.servers.loopback import USUAL, JsonConversation, LoopbackServer

PATH = "users/475425"


class ZoteroServer(LoopbackServer):
    def __init__(self):
        super().__init__(Conversation)
        self.items, self.version, self.during = {}, 0, deque()
        self.collections = set()
        self.path, self.key, self.backoff = PATH, "", ""

    def source(self):
        return Zotero(self.base)

    def add(self, number=1, /, **data):
        """Add an item, or change it."""
        self.version += 1
        self.items[f"KEY{number:05}"] = item(number, **data)

    def delete(self, number=1):
        self.version += 1
        del self.items[f"KEY{number:05}"]


class Conversation(JsonConversation):
    def do_GET(self):
        server, (path, asked, headers) = self.server, self.note()
        if server.during:
            server.during.popleft()()
        special = server.next_answer()
        if special is None and server.key != headers.get("zotero-api-key", ""):
            special = 403, {"Content-Type": "text/plain"}, b"Forbidden"
        collection = path.removeprefix(f"/{server.path}/collections/").removesuffix("/items/top")
        is_collection = collection in server.collections
        if special is None and not is_collection and path != f"/{server.path}/items/top":
            special = 404, {"Content-Type": "text/plain"}, b"Library not found"
        if special is not USUAL:
            return self.send(*special)
        said = {"Last-Modified-Version": str(server.version)}
        said |= {"Backoff": server.backoff} if server.backoff else {}
        if int(headers.get("if-modified-since-version", -1)) >= server.version:
            return self.send(304, said, b"")
        if headers["zotero-api-version"] != "3" or asked["format"] != "json":
            return self.send(400, {}, b"")
        assert (asked["sort"], asked["direction"]) == ("dateAdded", "desc")
        rows = [
            (key, data)
            for key, data in server.items.items()
            if not is_collection or collection in data.get("collections", [])
        ]
        rows.sort(key=lambda row: row[1]["dateAdded"], reverse=True)
        start, count = int(asked["start"]), min(int(asked["limit"]), 100)
        page = [{"key": key, "data": data} for key, data in rows[start : start + count]]
        self.send(200, said | {"Total-Results": str(len(rows))}, json.dumps(page).encode())


def item(number=1, /, **data):
    """Return a journal article, added in the minute `number`, with these fields replaced."""
    added = f"2026-05-{number // 1440 + 1:02}T{number // 60 % 24:02}:{number % 60:02}:00Z"
    texts = {"title": f"Soups of kind {number}", "abstractNote": f"How soup {number} is made."}
    return texts | {"itemType": "journalArticle", "date": "2024-05", "dateAdded": added} | data
