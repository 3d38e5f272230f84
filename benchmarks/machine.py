"""What every benchmark needs: the machine in words, its measured peak, and a page to write to."""

import os
import platform
import time
from itertools import dropwhile, takewhile
from pathlib import Path

import torch

import mezzotint
from mezzotint.utils.precision import cpu_name

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def peak(seconds: float = 2.0, dtype: torch.dtype = torch.float32) -> float:
    """GFLOP/s of the best of many matrix products of 1024, on the threads torch uses."""
    a, b = torch.randn(1024, 1024, dtype=dtype), torch.randn(1024, 1024, dtype=dtype)
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 1024**3 / best / 1e9


def bf16_unit() -> str:
    """What the CPU multiplies bf16 with: AMX, AVX512_BF16, or fp32 where it has neither."""
    if torch.cpu._is_amx_tile_supported():
        return "AMX"
    return "AVX512_BF16" if torch.cpu._is_avx512_bf16_supported() else "fp32"


def describe() -> str:
    """Processor, threads, versions and date, in a line."""
    return (
        f"{os.cpu_count()} cores of {cpu_name()} ({torch.backends.cpu.get_cpu_capability()}),"
        f" {torch.get_num_threads()} threads; mezzotint"
        f" {mezzotint.__version__}, torch {torch.__version__}, Python {platform.python_version()};"
        f" {time.strftime('%Y-%m-%d')}"
    )


def table(headings: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    rule = ["---"] + ["---:"] * (len(headings) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in [headings, rule, *rows])


def read_table(text: str) -> list[dict[str, str]]:
    """The first Markdown table in a text, a dictionary for each row; empty where there is none."""
    from_it = dropwhile(lambda line: not line.startswith("|"), text.splitlines())
    lines = list(takewhile(lambda line: line.startswith("|"), from_it))
    cells = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in lines]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[2:]]


def _marks(name: str) -> tuple[str, str]:
    """What a section stands between."""
    return f"<!-- {name}: written by benchmarks -->", f"<!-- end of {name} -->"


def read_section(name: str, page: Path = PAGE) -> str:
    """What stands in the section ``name`` of a page, docs/benchmarks.md if none is given; or nothing."""
    begin, end = _marks(name)
    return page.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0]


def write_section(name: str, text: str, page: Path = PAGE) -> None:
    """Put ``text`` in the place of the section ``name`` of a page, docs/benchmarks.md if none is given."""
    begin, end = _marks(name)
    content = page.read_text(encoding="utf-8")
    if begin not in content:
        content = f"{content.rstrip()}\n\n{begin}\n{end}\n"
    before, rest = content.split(begin)
    after = rest.split(end)[1]
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}", encoding="utf-8")
    print(f"{text}\n\nwritten to {page}")
