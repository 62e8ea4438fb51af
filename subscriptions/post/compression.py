"""Zstandard, from the standard library where it has it."""

import sys
from collections.abc import Iterable

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OPTIONS = {
    # Letters of one volley repeat each other, which the lowest level sees as well.
    zstd.CompressionParameter.compression_level: 1,
    zstd.CompressionParameter.checksum_flag: 1,
}


def compress(pieces: Iterable[bytes]) -> bytes:
    """Return the pieces, one after the other, as one frame with a checksum."""
    compressor = zstd.ZstdCompressor(options=OPTIONS)
    return b"".join([*map(compressor.compress, pieces), compressor.flush()])


def decompress(data: bytes) -> bytes:
    """Return what was compressed. Raises ValueError where it is damaged."""
    try:
        return zstd.decompress(data)
    except zstd.ZstdError as error:
        raise ValueError(str(error)) from None
