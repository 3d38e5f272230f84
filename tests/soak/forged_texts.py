"""Texts that keep to their language but say what they should not: JSON, TOML, and headers of weights."""

import json
import random
from typing import Any

from mezzotint.recipe.presets import DIGITS
from mezzotint.recipe.toml import leaves

from . import good_files as good
from .forged_files import nested

VALUES = [
    *(
        "0",
        "-1",
        "1",
        "7",
        "1.5",
        "1e400",
        "-0.0",
        "nan",
        "inf",
        "true",
        '""',
        '"a"',
        "[]",
        "{}",
        "[1]",
    ),
    *(
        "[0.2, 0.8]",
        '["a", 1]',
        "10000000000",
        "9" * 400,
        "9" * 5000,
        "0x" + "f" * 5000,
        "1979-05-27",
    ),
    *(
        '"\\u0000"',
        '"é"',
        '"a:b=c"',
        '"ddim:eta=2"',
        '"karras:rho=x"',
        '"1,0.5,0"',
        "{a = 1}",
        "[[1]]",
    ),
    *(
        '"../x"',
        '"adam"',
        '"flow"',
        '"unet"',
        '"lean"',
        '"denoising"',
        '"distillation"',
        "''' a\nb '''",
    ),
]
"""Values of TOML; some are JSON too."""

JSON = [
    "NaN",
    "Infinity",
    "null",
    "{}",
    "[]",
    '"\\ud800"',
    '""',
    "0",
    "-1",
    "1e999",
    "true",
    '{"a": 1}',
]
JSON += ["9" * 5000, "9" * 400, "[1, 2]", '"a"', nested("["), nested('{"a":')]


def recipe(draw: random.Random) -> bytes:
    """A recipe with keys of all sections, and values of all kinds."""
    if draw.random() < 0.03:
        deep = (nested("[", "]"), nested("{a=", "}"), ".".join("a" * 10_000))
        return f"a = {draw.choice(deep)}\n".encode()
    keys = [key for key, _ in leaves(DIGITS)] + [
        "net",
        "objective",
        "format",
        "base",
        "seed.a",
        "distillation",
    ]
    keys += [
        "diffusion.loss",
        "sampling.eta",
        "data.balance",
        "objective.teacher",
        "refinement.reference",
    ]
    text = draw.choice(("", "format = 2\n", 'base = "ddpm"\n', good.version_01()))
    for key in draw.sample(keys, draw.choice((1, 1, 2, 3))):
        line = f"{key} = {draw.choice(VALUES)}\n"
        text = line + text if draw.random() < 0.7 else text + line
    return text.encode()


def manifest(draw: random.Random) -> bytes:
    """A manifest with something else in the place of a value."""
    keys = {"step": "10", "sha256": "{}", "later": "1"}
    keys[draw.choice(list(keys))] = draw.choice(JSON)
    if draw.random() < 0.2:
        return draw.choice(JSON).encode()
    return ("{" + ", ".join(f'"{key}": {value}' for key, value in keys.items()) + "}").encode()


def metrics(draw: random.Random) -> bytes:
    """Lines that are JSON, but perhaps no entries."""
    lines = []
    for _ in range(draw.randrange(6)):
        entry = f'{{"step": {draw.choice(JSON)}, "loss": {draw.choice(JSON)}}}'
        lines.append(
            draw.choice((entry, draw.choice(JSON), '{"loss": 1}', '{"step": 1, "loss": 0.5}'))
        )
    return "\n".join(lines).encode()


def weights(draw: random.Random) -> bytes:
    """A weights file whose header says something else of its tensors, its images or its recipe."""
    content = draw.choice(good.weights()[2:])  # one that is not refused for its hash
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    metadata = header["__metadata__"]
    kind = draw.randrange(4)
    if kind == 0:
        metadata["images"] = _images(draw, json.loads(metadata["images"]))
    elif kind == 1:
        metadata["recipe"] = _recipe(draw, metadata["recipe"])
    elif kind == 2:
        metadata[draw.choice(("mezzotint", "images", "recipe", "x"))] = draw.choice(
            ("", "3", nested("["), nested("a=["), "x" * 10**6, 1)
        )
    else:
        _spoil_tensor(draw, header)
    head = json.dumps(header).encode()
    if draw.random() < 0.02:
        head = head[:-1] + b',"x":' + nested("[", "]").encode() + b"}"
    return len(head).to_bytes(8, "little") + head + content[8 + size :]


def _images(draw: random.Random, images: dict[str, Any]) -> str:
    key = draw.choice(list(images))
    sides = (0, 1, 9, 64, 1000, 65_536, 2**40, -8, 8.0, "8", None, True)
    images[key] = draw.choice(
        (
            [draw.choice(sides), draw.choice(sides)],
            draw.choice(sides),
            {},
            [["a"]],
            ["a", "a"],
            "abc",
            [""],
        )
    )
    return json.dumps(images)


def _recipe(draw: random.Random, text: str) -> str:
    """The recipe with another value on one of its lines."""
    lines = text.splitlines()
    row = draw.choice([k for k, line in enumerate(lines) if "=" in line])
    key = lines[row].split("=")[0]
    numbers = ("1", "2", "3", "16", "4096", "1000000", "10000000000", "0")
    lines[row] = f"{key}= {draw.choice((*VALUES, *numbers))}"
    return "\n".join(lines)


def _spoil_tensor(draw: random.Random, header: dict[str, Any]) -> None:
    name = draw.choice([key for key in header if key != "__metadata__"])
    tensor = header[name]
    kind = draw.randrange(5)
    if kind == 0:
        tensor["dtype"] = draw.choice(
            ("F64", "F16", "BF16", "I8", "U8", "BOOL", "F8_E4M3", "C64", "F4", "U64", "x")
        )
    elif kind == 1:
        tensor["shape"] = draw.choice(([], [0], [-1], [2**62, 4], [1] * 100, [2.5], "x", [2**64]))
    elif kind == 2:
        tensor["data_offsets"] = draw.choice(
            ([0, 0], [0, 4], [4, 0], [2**63, 2**64 - 1], [], None, [0, 2**40])
        )
    elif kind == 3:
        header[draw.choice(("", "x", name + ".x", "é"))] = header.pop(name)
    else:
        tensor["dtype"], tensor["shape"] = draw.choice(
            (
                ("I32", tensor["shape"]),
                ("U8", [*tensor["shape"], 4]),
                ("F16", [*tensor["shape"], 2]),
            )
        )
