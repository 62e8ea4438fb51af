"""Store arrays in one file that can be mapped into memory: no copies, no pickles.

The file has an array of their names, and then each array in NumPy's format, aligned.
"""

from collections.abc import Mapping
from io import BytesIO, RawIOBase
from mmap import mmap

import numpy as np
from numpy.lib import format as npy

ALIGNED = 64  # Bytes: each array begins at a multiple.


def write(arrays: Mapping[str, np.ndarray], file: RawIOBase) -> None:
    """Write arrays of numbers or bytes to a file."""
    for array in (np.array([*arrays], dtype=bytes), *arrays.values()):
        np.save(file, array, allow_pickle=False)
        file.write(bytes(-file.tell() % ALIGNED))


def read(content: bytes | mmap) -> dict[str, np.ndarray]:
    """Return the arrays of a file's content, as read-only views.

    Raises ValueError for content of another format.
    """
    file = BytesIO(content) if isinstance(content, bytes) else content
    names, *arrays = [*_arrays(content, file)]
    return dict(zip(names.astype(str).tolist(), arrays, strict=True))


def _arrays(content, file):
    file.seek(0)
    while file.tell() < len(content):
        npy.read_magic(file)
        shape, _, dtype = npy.read_array_header_1_0(file)
        start, size = file.tell(), int(np.prod(shape, dtype=object))
        yield np.frombuffer(content, dtype=dtype, count=size, offset=start).reshape(shape)
        file.seek(-(-(start + size * dtype.itemsize) // ALIGNED) * ALIGNED)
