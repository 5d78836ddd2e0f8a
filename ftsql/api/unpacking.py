"""An answer's body out of its Content-Encoding, a bounded piece at a time.

A few bytes may stand for gigabytes, or for none at all; and a packed body that breaks off is no body.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

PIECE = 1024 * 1024
ACCEPTED = "gzip, deflate"
PACKED = frozenset({"gzip", "x-gzip", "deflate"})
UNASKED = frozenset({"br", "zstd", "compress", "x-compress"})  # other words are no packing, whatever they mean
GZIP = b"\x1f"  # the first byte of a member of gzip
EITHER = 47  # what tells zlib to take gzip's head or its own
BARE = -15  # without a head, which some servers call deflate


def unpacked(chunks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The body's bytes, at most PIECE of them at once; as they come where ``encoding`` is no packing.

    Raises ValueError for what is not packed as ``encoding`` says.
    """
    names = [name for name in encoding.lower().replace(" ", "").split(",") if name not in ("", "identity")]
    if unasked := UNASKED & set(names):
        raise ValueError(f"it is packed by {min(unasked)}, which was not asked for")
    if not PACKED & set(names):
        yield from chunks
        return
    if len(names) > 1:
        raise ValueError(f"it is packed {len(names)} times over")
    unpacker = zlib.decompressobj(EITHER)
    began = False
    for chunk in chunks:
        rest = chunk
        if unpacker.eof and rest[:1] == GZIP:  # gzip may have several members, one after the other
            unpacker = zlib.decompressobj(EITHER)
        while rest and not unpacker.eof:
            try:
                piece = unpacker.decompress(rest, PIECE)
            except zlib.error as error:
                if began or names != ["deflate"]:
                    raise ValueError(f"it is no {names[0]}: {error}") from None
                unpacker = zlib.decompressobj(BARE)
                began = True
                continue
            began = True
            rest = unpacker.unconsumed_tail
            yield piece
            if unpacker.eof and unpacker.unused_data[:1] == GZIP:
                rest, unpacker = unpacker.unused_data, zlib.decompressobj(EITHER)
    if began and not unpacker.eof:
        raise ValueError(f"its {names[0]} breaks off")
