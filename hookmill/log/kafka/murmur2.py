"""Murmur2 as in `org.apache.kafka.common.utils.Utils`, of many keys at once."""

import struct
from collections.abc import Sequence
from typing import Final

_MASK: Final = 0xFFFFFFFF
_MIX: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C

_FEWEST_LANES: Final = 12
"""Keys of one length from which on lanes are quicker than one key after another."""


def hashes(keys: Sequence[bytes]) -> list[int]:
    """The 32 bits of each key, unsigned.

    Keys of one length are hashed together: 0.55 us for one of 36 bytes where it takes 3.6 by itself, measured with 500.
    """
    found = [0] * len(keys)
    by_length: dict[int, list[int]] = {}
    for index, key in enumerate(keys):
        by_length.setdefault(len(key), []).append(index)
    for indexes in by_length.values():
        if len(indexes) < _FEWEST_LANES:
            values = [_hash(keys[index]) for index in indexes]
        else:
            values = _hash_lanes([keys[index] for index in indexes])
        for index, value in zip(indexes, values, strict=True):
            found[index] = value
    return found


def _hash(data: bytes) -> int:
    """aiokafka has it too, byte by byte, which takes twice as long."""
    mix, mask = _MIX, _MASK
    length = len(data)
    state = _SEED ^ length
    for word in struct.unpack_from(f"<{length >> 2}I", data):
        word = word * mix & mask
        state = (state * mix ^ (word ^ word >> 24) * mix) & mask
    if length & 3:
        state = (state ^ int.from_bytes(data[length & ~3 :], "little")) * mix & mask
    state = (state ^ state >> 13) * mix & mask
    return state ^ state >> 15


def _hash_lanes(keys: Sequence[bytes]) -> list[int]:
    """As `_hash`, of keys of the same length.

    One integer has a lane of 64 bits for each key, so that each operation is one on all of them: a product of two words
    of 32 bits stays within its lane, and what a shift brings from the next one falls to the mask.
    """
    count, length, joined = len(keys), len(keys[0]), b"".join(keys)
    mix, lanes = _MIX, int.from_bytes(b"\xff\xff\xff\xff\x00\x00\x00\x00" * count, "little")
    state = int.from_bytes((_SEED ^ length).to_bytes(8, "little") * count, "little")
    for start in range(0, length & ~3, 4):
        word = _words(joined, count, range(start, start + 4)) * mix & lanes
        state = (state * mix ^ (word ^ word >> 24 & lanes) * mix) & lanes
    if length & 3:
        state = (state ^ _words(joined, count, range(length & ~3, length))) * mix & lanes
    state = (state ^ state >> 13 & lanes) * mix & lanes
    state ^= state >> 15 & lanes
    return list(struct.unpack(f"<{count}Q", state.to_bytes(8 * count, "little")))


def _words(joined: bytes, count: int, places: range) -> int:
    """The bytes at these places of each key, as the low bytes of its lane."""
    lanes = bytearray(count * 8)
    for byte, place in enumerate(places):
        lanes[byte::8] = joined[place :: len(joined) // count]
    return int.from_bytes(lanes, "little")
