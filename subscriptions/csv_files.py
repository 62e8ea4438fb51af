"""Parse CSV files that people upload: with commas, semicolons or tabs, in UTF-8."""

import csv
from io import StringIO

MAX_COLUMNS, MAX_ROWS = 50, 10_000
MAX_LINES = 10  # Named in an error.


def parse(data: bytes) -> dict[str, list]:
    """Return the headers in lower case, the rows that are not empty, and their line numbers.

    Raises ValueError, which names the line, or the first MAX_LINES. Runs in a child process.
    """
    try:
        text = data.replace(b"\0", b"\xff").decode("utf-8-sig")  # PostgreSQL refuses NUL.
    except UnicodeDecodeError as error:
        line_number = data.count(b"\n", 0, error.start) + 1
        message = f"Line {line_number} is not UTF-8. Save the file as “CSV UTF-8”."
        raise ValueError(message) from None
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    table: dict[str, list] = {"headers": [], "rows": [], "lines": []}
    wide_lines = []
    try:
        headers = table["headers"] = [name.strip().lower() for name in next(reader, [])]
        if len(headers) > MAX_COLUMNS:
            raise csv.Error(f"more than {MAX_COLUMNS} columns")
        for row in filter(any, (list(map(str.strip, row)) for row in reader)):
            if len(row) > len(headers):
                wide_lines.append(str(reader.line_num))
                continue
            if len(table["rows"]) == MAX_ROWS:
                raise csv.Error(f"more than {MAX_ROWS:,} rows")
            table["rows"].append(row + [""] * (len(headers) - len(row)))
            table["lines"].append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"Line {reader.line_num or 1}: {error}.") from error
    if wide_lines:
        raise ValueError(f"Line {', '.join(wide_lines[:MAX_LINES])}: too many cells.")
    return table
