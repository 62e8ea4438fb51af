"""A check of JSON by a schema, for the keywords that the schemas of the tests use."""

from datetime import date, datetime
from urllib.parse import urlsplit

TYPES = {
    **{"string": str, "integer": int, "number": int | float, "boolean": bool},
    **{"array": list, "object": dict, "null": type(None)},
}
FORMATS = {
    "date": lambda text: date.fromisoformat(text).isoformat() == text,
    "date-time": lambda text: datetime.fromisoformat(text).tzinfo,
    "uri": lambda text: urlsplit(text).scheme and urlsplit(text).hostname,
}
KEYWORDS = {"type", "enum", "format", "items", "properties", "required", "additionalProperties"}
IGNORED = {"description", "default", "minimum"}


def faults(value, schema, document=None, at="$") -> list[str]:
    """Return where the value differs from the schema. `$ref` is looked up in the document."""
    if "$ref" in schema:
        return faults(value, resolved(schema, document), document, at)
    assert schema.keys() <= KEYWORDS | IGNORED, schema
    named = schema.get("type", [])
    kinds = [TYPES[name] for name in ([named] if isinstance(named, str) else named)]
    is_odd_boolean = isinstance(value, bool) and bool not in kinds
    if kinds and (is_odd_boolean or not any(isinstance(value, kind) for kind in kinds)):
        return [f"{at} is {value!r}, not {named}"]
    found = []
    if value not in schema.get("enum", [value]):
        found.append(f"{at} is {value!r}")
    if isinstance(value, str) and "format" in schema and not FORMATS[schema["format"]](value):
        found.append(f"{at} is {value!r}, no {schema['format']}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += faults(item, schema["items"], document, f"{at}[{number}]")
    if isinstance(value, dict):
        known = schema["properties"]
        found += [f"{at} lacks {name}" for name in schema["required"] if name not in value]
        if schema.get("additionalProperties") is False:
            found += [f"{at} has {name}" for name in value.keys() - known.keys()]
        for name in value.keys() & known.keys():
            found += faults(value[name], known[name], document, f"{at}.{name}")
    return found


def resolved(schema, document):
    """Return what a `$ref` points at, or the schema itself if it is none."""
    if "$ref" not in schema:
        return schema
    for name in schema["$ref"].removeprefix("#/").split("/"):
        document = document[name]
    return document
