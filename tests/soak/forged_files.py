"""Files that keep to their format but lie in it: sizes that are not there, bombs, names that lead out."""

import functools
import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np

from . import good_files as good

SIZES = [0, 1, 2, 7, 8, 255, 256, 4096, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1]
"""Sizes that headers claim."""
DEEP = 100_000
"""Levels of nesting."""


def nested(opening: str, closing: str = "") -> str:
    return opening * DEEP + closing * DEEP


@functools.cache
def zeros(size: int) -> bytes:
    """So many zeros, packed."""
    return zlib.compress(bytes(size), 1)


def idx(draw: random.Random) -> bytes:
    """A header that promises anything, and what it promises where that is little."""
    code = draw.choice((0x08, 0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E, draw.randrange(256)))
    sizes = [draw.choice(SIZES) for _ in range(draw.choice((1, 1, 2, 3, 3, 4, 40, 255)))]
    if draw.random() < 0.4:
        code = draw.choice((0x0C, 0x0D, 0x0E))
        sizes = [12]
    body = draw.randbytes(12 * {0x0C: 4, 0x0D: 4, 0x0E: 8}.get(code, 1))
    return struct.pack(f">HBB{len(sizes)}I", 0, code, len(sizes), *sizes) + body


def idx_gz(draw: random.Random) -> bytes:
    """What is forged is packed; or a bomb, perhaps with a header that keeps its word."""
    if draw.random() < 0.97:
        return gzip.compress(idx(draw), 1, mtime=0)
    return draw.choice(_gzip_bombs())


@functools.cache
def _gzip_bombs() -> list[bytes]:
    """A gigabyte of zeros in a megabyte, alone or after a header that promises 64 MB."""
    part = gzip.compress(bytes(2**24), mtime=0)
    head = gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 2**16, 32, 32), mtime=0)
    return [part * 64, head + part * 64]


def cifar(draw: random.Random) -> bytes:
    """Labels and names of any kind."""
    if draw.random() < 0.5:
        words = ("", "a", "a a", "é", "\0", "\x1b[2J", "x" * 1000, "cat\ncat")
        return "\n".join(draw.choice(words) for _ in range(draw.choice((1, 100)))).encode()
    size = draw.choice((3072, 3073, 3074))
    return draw.randbytes(2) + bytes(draw.choice((0, 1, 2, 5)) * size)


def png(draw: random.Random) -> bytes:
    """Chunks with correct sums and anything in them."""
    width, height = (draw.choice(SIZES[:-2]) for _ in range(2))
    depth = draw.choice((1, 2, 4, 8, 16, draw.randrange(256)))
    colour = draw.choice((0, 2, 3, 4, 6, draw.randrange(256)))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, draw.choice((0, 0, 1, 2)))
    pixels = zlib.compress(draw.choice((b"", bytes(1000), draw.randbytes(100))))
    if draw.random() < 0.01:
        header = struct.pack(">IIBBBBB", 4096, 4096, 8, draw.choice((0, 2, 6)), 0, 0, 0)
        pixels = zeros(4096 * 4 * 4096 + 4096)
    text = zeros(draw.choice((10, 10, 10, 2**24)))
    others = [
        (b"PLTE", draw.randbytes(draw.choice((0, 3, 5, 768)))),
        (b"tRNS", draw.randbytes(draw.choice((0, 1, 2, 6, 300)))),
        (b"zTXt", b"Comment\0\0" + text),
        (b"iTXt", b"Comment\0\1\0\0\0" + text),
        (b"eXIf", draw.randbytes(40)),
        (b"acTL", struct.pack(">II", draw.choice(SIZES), 0)),
        (
            b"fcTL",
            struct.pack(">IIIIIHHBB", 0, *(draw.choice(SIZES) for _ in range(4)), 1, 1, 0, 0),
        ),
        (b"gAMA", draw.randbytes(draw.choice((0, 4)))),
        (b"iCCP", b"x\0\0" + text),
        (b"IHDR", header),
    ]
    chunks = [(b"IHDR", header), *draw.sample(others, draw.randrange(4)), (b"IDAT", pixels)]
    if draw.random() < 0.1:
        draw.shuffle(chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in (*chunks, (b"IEND", b"")))


def _chunk(kind: bytes, content: bytes) -> bytes:
    total = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", total)


def _resized(kind: str, places: Callable[[bytes], tuple[int, str]], draw: random.Random) -> bytes:
    """A good picture that claims another size."""
    content = bytearray(draw.choice(good.pictures(kind)))
    position, layout = places(bytes(content))
    most = 2 ** (8 * struct.calcsize(layout) // 2) - 1
    sides = (min(draw.choice(SIZES), most) for _ in range(2))
    struct.pack_into(layout, content, position, *sides)
    return bytes(content)


def jpeg(draw: random.Random) -> bytes:
    """A good picture whose frame claims another size."""

    def place(content: bytes) -> tuple[int, str]:
        frame = max(content.find(b"\xff\xc0"), content.find(b"\xff\xc2"))
        return frame + 5, ">HH"

    return _resized("JPEG", place, draw)


def gif(draw: random.Random) -> bytes:
    """A good picture whose screen claims another size, and perhaps its first frame too."""
    content = _resized("GIF", lambda content: (6, "<HH"), draw)
    frame = content.find(b"\x2c", 13 + 3 * 2)
    if draw.random() < 0.5 and 0 <= frame < len(content) - 9:
        sides = struct.pack("<HH", *(min(draw.choice(SIZES), 65_535) for _ in range(2)))
        content = content[: frame + 5] + sides + content[frame + 9 :]
    return content


def webp(draw: random.Random) -> bytes:
    """A good picture whose canvas, or the picture on it, claims another size."""
    content = bytearray(draw.choice(good.pictures("WebP")))
    canvas = content.find(b"VP8X")
    lossless = content.find(b"VP8L")
    if canvas >= 0:
        for offset in (12, 15):
            side = min(draw.choice(SIZES), 2**24 - 1)
            content[canvas + offset : canvas + offset + 3] = side.to_bytes(3, "little")
    elif lossless >= 0:
        bits = draw.getrandbits(28) | (content[lossless + 12] >> 4) << 28
        content[lossless + 9 : lossless + 13] = bits.to_bytes(4, "little")
    return bytes(content)


NAMES = [
    "../x.png",
    "/x.png",
    "..",
    ".",
    "",
    "a/../../x.png",
    "C:\\x.png",
    "a\\..\\x.png",
    "cat",
    "cat/",
]
NAMES += [
    "x" * 300,
    "x/" * 300 + "y.png",
    "cat/\n.png",
    "\x1b[2J.png",
    "é.png",
    "cat/1.png/2.png",
    "~",
]
NAMES += [
    "__MACOSX/x",
    "train/cat/1.png",
    "test/cat/1.png",
    "cat/1.png",
    "con/nul.png",
    "cat/ü/1.png",
]


def zips(draw: random.Random) -> bytes:
    """Members with names of all kinds, and with sizes that they do not have."""
    png = good.encoder("PNG", "RGB")(good.picture())
    members = {draw.choice(NAMES): png for _ in range(draw.randrange(6))}
    if draw.random() < 0.01:
        members["cat/bomb.png"] = bytes(2**27)
    content = bytearray(
        good.zip_of(members, draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    )
    if draw.random() < 0.5:
        for mark, flags, size in ((b"PK\x01\x02", 8, 24), (b"PK\x03\x04", 6, 22)):
            start = content.find(mark)
            if start < 0 or draw.random() < 0.3:
                continue
            struct.pack_into("<I", content, start + size, draw.choice(SIZES))
            struct.pack_into("<H", content, start + flags, draw.choice((0, 0, 1, 8, 0x800, 0xFFFF)))
    return bytes(content)


DTYPES = [
    "|u1",
    "|V1000000000",
    "<U1000000",
    "|O",
    "<f8",
    "<M8[s]",
    "<c16",
    "|S0",
    "<U0",
    ">i8",
    "<f2",
]
DTYPES += ["|b1", "|S2147483647", "<x3", "", "<u1,<u1"]


def npz(draw: random.Random) -> bytes:
    """Arrays whose headers claim other shapes and types, and labels of all sizes."""
    if draw.random() < 0.4:
        return good.npz_of(images=good.IMAGES, labels=_odd_labels(draw))
    shape = [
        draw.choice((12, 12, *SIZES, 2**62, -1)) for _ in range(draw.choice((0, 1, 1, 3, 4, 70)))
    ]
    header = repr(
        {"descr": draw.choice(DTYPES), "fortran_order": draw.random() < 0.2, "shape": tuple(shape)}
    )
    if draw.random() < 0.2:
        texts = (
            nested("["),
            nested("(", ")"),
            "-" * 5000 + "1",
            "{'descr'",
            "{}",
            "1e999",
            "'" * 9,
            "{1:2}",
        )
        header = draw.choice((*texts, header.replace("12", "9" * 5000), header.replace("'", '"')))
    raw = header.encode()
    sizes = struct.pack("<H", len(raw)) if len(raw) < 65_536 else struct.pack("<I", len(raw))
    version = bytes([1 if len(sizes) == 2 else 2, 0])
    forged = b"\x93NUMPY" + version + sizes + raw + draw.randbytes(draw.choice((0, 12, 768)))
    name = draw.choice(("images", "labels", "classes"))
    files = {
        f"{key}.npy": _npy(array)
        for key, array in (("images", good.IMAGES), ("labels", good.LABELS))
    }
    return good.zip_of({**files, f"{name}.npy": forged})


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _odd_labels(draw: random.Random) -> np.ndarray:
    values = [-1, 0, 1, 2, 10**6, 2**31 - 1, 2**40, 2**63 - 1]
    numbers = [draw.choice(values) for _ in range(12)]
    floats = [
        draw.choice((0.0, 1.0, 0.5, 1e300, -1e300, float("nan"), float("inf"), 2.0**63))
        for _ in range(12)
    ]
    words = [
        draw.choice(("", "a", "A", "é", "e\u0301", "\0", "\n", "1", "01", "\ud800", " a"))
        for _ in range(12)
    ]
    raw = [draw.randbytes(draw.randrange(4)) for _ in range(12)]
    arrays = [
        np.array(numbers),
        np.array(numbers, "u8", copy=True) if min(numbers) >= 0 else np.array(numbers),
    ]
    return draw.choice([*arrays, np.array(floats), np.array(words), np.array(raw)])
