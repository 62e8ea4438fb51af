"""A language model on loopback, with an API like OpenAI's, which answers well until told otherwise.

Each request is in `asked`, as (path, headers with names in lower case, JSON).
"""

import json
import time

from tests.servers.loopback import JsonConversation, LoopbackServer, says


class LanguageModel(LoopbackServer):
    """`answers` (see loopback) come first, then what `say` returns of a title and an abstract."""

    seconds = 0.0  # Before each answer.

    def __init__(self):
        super().__init__(Conversation)
        self.say = translated


class Conversation(JsonConversation):
    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers, request))
        time.sleep(self.server.seconds)
        paper = json.loads(request["messages"][1]["content"])
        self.send(*self.server.next_answer() or completion(self.server.say(**paper)))


def translated(title, abstract):
    return {"title": f"Titel: {title}", "sentence": "Eine Aussage über Graphen."}


def completion(content):
    """Return the answer with this content: a text, or what is sent as JSON."""
    content = content if isinstance(content, str) else json.dumps(content)
    return says({"choices": [{"message": {"role": "assistant", "content": content}}]})
