"""From a folder of pictures to a generator, part one: the pictures.

    apt install fonts-noto-color-emoji unicode-data
    python examples/emoji.py emoji
    mezzotint doctor folder:emoji --size 32 --channels 3
    mezzotint train rgb32 --data.name folder:emoji --out runs/emoji
    mezzotint sample runs/emoji --count 8

Draws every emoji of the font as a picture with a transparent background, in a folder for each group of
the Unicode standard's emoji-test.txt, which become the classes.
"""

import argparse
import re
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from mezzotint.utils.progress import progress

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
TABLE = Path("/usr/share/unicode/emoji/emoji-test.txt")
NATIVE = 109  # the one size the font's bitmaps have, in points


def emoji(table: str) -> list[tuple[str, str]]:
    """(group, characters) of every fully qualified emoji. Skin tones and hair alone are no emoji."""
    found, group = list[tuple[str, str]](), ""
    for line in table.splitlines():
        if line.startswith("# group: "):
            group = re.sub(r"\W+", "-", line.removeprefix("# group: ").lower())
        elif "; fully-qualified" in line and group != "component":
            codes = line.split(";")[0].split()
            found.append((group, "".join(chr(int(code, 16)) for code in codes)))
    return found


def picture(characters: str, font: ImageFont.FreeTypeFont, size: int) -> Image.Image | None:
    """The emoji, cut to its edges, centred in a square; None where the font has no single picture."""
    left, top, right, bottom = (int(edge) for edge in font.getbbox(characters))
    canvas = Image.new("RGBA", (right - left, bottom - top))
    ImageDraw.Draw(canvas).text((-left, -top), characters, font=font, embedded_color=True)
    box = canvas.getbbox()
    if box is None or canvas.width > 1.5 * canvas.height:  # several pictures in a row
        return None
    cut = canvas.crop(box)
    side = max(cut.size)
    square = Image.new("RGBA", (side, side))
    square.paste(cut, ((side - cut.width) // 2, (side - cut.height) // 2))
    return square.resize((size, size), Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--size", type=int, default=64, help="side of each picture in pixels")
    arguments = parser.parse_args()
    for needed, package in ((FONT, "fonts-noto-color-emoji"), (TABLE, "unicode-data")):
        if not needed.is_file():
            raise SystemExit(f"{needed} is missing: apt install {package}")
    font = ImageFont.truetype(FONT, NATIVE)
    listed = emoji(TABLE.read_text(encoding="utf-8"))
    drawn = 0
    for group, characters in progress(listed, len(listed), "drawing", "emoji"):
        made = picture(characters, font, arguments.size)
        if made is not None:
            folder = arguments.out / group
            folder.mkdir(parents=True, exist_ok=True)
            made.save(folder / f"{'-'.join(f'{ord(c):x}' for c in characters)}.png")
            drawn += 1
    print(f"{drawn:,} of {len(listed):,} emoji in {arguments.out}")


if __name__ == "__main__":
    main()
