"""Mutants of bytes: what broken disks, cut downloads and hostile hands make of a file."""

import random
from collections.abc import Callable, Sequence

LONGEST = 1_000_000
"""Bytes of a mutant at most."""

NUMBERS = [
    *(value.to_bytes(1, "big") for value in (0, 1, 0x7F, 0x80, 0xFF)),
    *(value.to_bytes(2, order) for value in (0, 1, 0x7FFF, 0xFFFF) for order in ("big", "little")),
    *(
        value.to_bytes(4, order)
        for value in (0, 1, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
        for order in ("big", "little")
    ),
    *(value.to_bytes(8, "little") for value in (2**31, 2**40, 2**63 - 1, 2**64 - 1)),
]
"""Numbers at the ends of their ranges, as headers hold them."""


def place_in(draw: random.Random, content: bytes) -> int:
    """A place in the content; often near its beginning or its end, where headers and tables are."""
    if draw.random() < 0.4:
        return draw.randrange(min(len(content), 64) + 1)
    if draw.random() < 0.3:
        return len(content) - draw.randrange(min(len(content), 64) + 1)
    return draw.randrange(len(content) + 1)


def part_of(draw: random.Random, content: bytes) -> tuple[int, int]:
    """The two ends of a part of the content, which is short as often as long."""
    start = place_in(draw, content)
    longest = draw.choice((4, 64, len(content) + 1))
    return start, min(len(content), start + draw.randrange(longest))


def flip(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """Some bits turned."""
    turned = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8)) if turned else 0):
        position = min(place_in(draw, content), len(turned) - 1)
        turned[position] ^= 1 << draw.randrange(8)
    return bytes(turned)


def cut(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """Without its end."""
    return content[: place_in(draw, content)]


def remove(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """Without a part."""
    start, end = part_of(draw, content)
    return content[:start] + content[end:]


def splice(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """The beginning of one file and the end of another."""
    return content[: place_in(draw, content)] + other[place_in(draw, other) :]


def transplant(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """A part of another file over a part of this one."""
    start, end = part_of(draw, other)
    position = place_in(draw, content)
    part = other[start:end]
    return content[:position] + part + content[position + len(part) :]


def repeat(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """A part once more, or very often."""
    start, end = part_of(draw, content)
    times = draw.choice((2, 2, 3, 100, 10_000))
    part = content[start:end]
    times = min(times, LONGEST // max(1, len(part)))
    return content[:start] + part * times + content[end:]


def number(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """A number at the end of its range, over what was there or before it."""
    value = draw.choice(NUMBERS)
    position = place_in(draw, content)
    over = len(value) if draw.random() < 0.8 else 0
    return content[:position] + value + content[position + over :]


def noise(draw: random.Random, content: bytes, other: bytes) -> bytes:
    """Random bytes over a part."""
    start, end = part_of(draw, content)
    return content[:start] + draw.randbytes(end - start) + content[end:]


CHANGES: list[Callable[[random.Random, bytes, bytes], bytes]] = [
    flip,
    cut,
    remove,
    splice,
    transplant,
    repeat,
    number,
    noise,
]


def mutant(draw: random.Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds after one to three changes; rarely nothing but random bytes."""
    if draw.random() < 0.01:
        return draw.randbytes(draw.randrange(200))
    content = draw.choice(seeds)
    for _ in range(draw.choice((1, 1, 2, 3))):
        content = draw.choice(CHANGES)(draw, content, draw.choice(seeds))
    return content[:LONGEST]
