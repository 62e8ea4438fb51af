"""Arrays in one file, which can be read where they lie: no copy, and nothing of it is run.

The file says at its beginning, as JSON, what each array is called, of what kind and shape it is,
and where it stands.
"""

import json
import re
from collections.abc import Mapping
from io import RawIOBase

import numpy as np

BEGINNING = b"Paperboy's arrays\n"
ALIGNED = 64  # Each array begins at a multiple of so many bytes.
LENGTH = 8  # Bytes of the number that says how long the JSON is.
KINDS = re.compile(r"<[iuf][248]|\|[iu]1|\|S[1-9][0-9]{0,3}")


def write(arrays: Mapping[str, np.ndarray], file: RawIOBase) -> None:
    """Write arrays of numbers, and of bytes, into a file."""
    told, place = {}, 0
    for name, array in arrays.items():
        told[name] = [array.dtype.str, array.shape, place]
        place += -(-array.nbytes // ALIGNED) * ALIGNED
    head = json.dumps(told).encode()
    file.write(BEGINNING + len(head).to_bytes(LENGTH, "little") + head)
    _fill(file, len(BEGINNING) + LENGTH + len(head))
    for array in arrays.values():
        file.write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        _fill(file, array.nbytes)


def _fill(file, written):
    file.write(bytes(-written % ALIGNED))


def read(content) -> dict[str, np.ndarray]:
    """Return the arrays of a file's content: bytes, or a file mapped into memory.

    They look at the content's memory, and can't be written to. Raises ValueError for what was not
    written here.
    """
    start = len(BEGINNING) + LENGTH
    if content[: len(BEGINNING)] != BEGINNING:
        raise ValueError("it doesn't begin as a file of arrays does")
    size = int.from_bytes(content[len(BEGINNING) : start], "little")
    if size > len(content) - start:
        raise ValueError("it ends before it has said what it holds")
    try:
        told = json.loads(content[start : start + size])
        first = -(-(start + size) // ALIGNED) * ALIGNED
        return {
            name: _array(content, kind, shape, first, place)
            for name, (kind, shape, place) in told.items()
        }
    except (TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"what it says of its arrays is nothing of ours: {error}") from error


def _array(content, kind, shape, first, place):
    if not KINDS.fullmatch(kind):
        raise ValueError(f"an array of {kind!r} is none of ours")
    if not all(isinstance(size, int) and size >= 0 for size in shape) or place < 0:
        raise ValueError("an array of no shape")
    count = int(np.prod(shape, dtype=object))
    array = np.frombuffer(content, dtype=kind, count=count, offset=first + place) if count else []
    array = np.asarray(array, dtype=kind).reshape(shape)
    array.flags.writeable = False
    return array
