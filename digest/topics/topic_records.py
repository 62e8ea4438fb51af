"""Parse files of topics in YAML or JSON, without Django: in a child process."""

import json

import yaml

MAX_FIELDS, MAX_TOPICS = 50, 2_000


class Loader(yaml.SafeLoader):
    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):  # A few of them can stand for gigabytes.
            raise ValueError("It has an alias (*), which is not read here.")
        return super().compose_node(parent, index)


def from_yaml(data: bytes) -> dict[str, list]:
    try:
        return _table(yaml.load(data.decode("utf-8-sig"), Loader))  # noqa: S506
    except yaml.YAMLError as error:
        raise ValueError(error) from None


def from_json(data: bytes) -> dict[str, list]:
    return _table(json.loads(data.decode("utf-8-sig")))


def _table(records):
    """Return the fields of all topics, and the values of each topic. Raises ValueError."""
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError("It holds no list of topics.")
    if len(records) > MAX_TOPICS:
        raise ValueError(f"It has more than {MAX_TOPICS:,} topics.")
    json.dumps(records, ensure_ascii=False, default=str).encode()  # Refuses lone surrogates.
    headers = list(dict.fromkeys(key for record in records for key in record))
    if len(headers) > MAX_FIELDS:
        raise ValueError(f"Its topics have more than {MAX_FIELDS} fields.")
    return {"headers": headers, "rows": [list(map(record.get, headers)) for record in records]}
