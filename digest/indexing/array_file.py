"""Arrays in one file, which can be read where they lie: no copy, and nothing of it is run.

It holds their names, and then one after the other as NumPy's own format has them, aligned.
"""

from collections.abc import Mapping
from io import BytesIO, RawIOBase
from mmap import mmap

import numpy as np
from numpy.lib import format as npy

ALIGNED = 64  # Each array begins at a multiple of so many bytes.


def write(arrays: Mapping[str, np.ndarray], file: RawIOBase) -> None:
    """Write arrays of numbers, and of bytes, into a file."""
    for array in (np.array([*arrays], dtype=bytes), *arrays.values()):
        np.save(file, array, allow_pickle=False)
        file.write(bytes(-file.tell() % ALIGNED))


def read(content: bytes | mmap) -> dict[str, np.ndarray]:
    """Return the arrays of a file's content.

    They look at its memory, and can't be written to. Raises ValueError for what was not written
    here.
    """
    file = BytesIO(content) if isinstance(content, bytes) else content
    names, *arrays = [*_arrays(content, file)]
    return dict(zip(names.astype(str).tolist(), arrays, strict=True))


def _arrays(content, file):
    file.seek(0)
    while file.tell() < len(content):
        npy.read_magic(file)
        shape, _, kind = npy.read_array_header_1_0(file)
        start, size = file.tell(), int(np.prod(shape, dtype=object))
        yield np.frombuffer(content, dtype=kind, count=size, offset=start).reshape(shape)
        file.seek(-(-(start + size * kind.itemsize) // ALIGNED) * ALIGNED)
