"""Files of SQL: statements by name."""

from pathlib import Path


def statements(file: str | Path) -> dict[str, str]:
    """Return the statements of a file by name. Each stands below an empty line and `-- name`."""
    parts = Path(file).read_text().split("\n\n-- ")[1:]
    return {name: said.strip() for name, _, said in (part.partition("\n") for part in parts)}
