"""Inpainting of test digits by each method: the upper half is kept, the lower one is drawn.

    python benchmarks/inpainting.py --images 2000

Images are drawn under their true labels. Accuracy and digit-FID are of the whole
images, so that the kept halves help; the row "test digits" is the same images untouched. The seam is the
mean difference of the two rows where the halves meet, in that of the untouched images: 1 is right, more is a
crack.
"""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
import machine
from mezzotint import build, load
from mezzotint.data.samples import Samples
from mezzotint.evaluation.evaluate import evaluate_images, reference_of
from mezzotint.registry import split_options
from mezzotint.samplers import SamplingOptions

Setting = tuple[str, str, int, SamplingOptions]

SETTINGS: list[Setting] = [
    *(("digits-fast", "replace", n, {}) for n in (8, 24, 48)),
    *(("digits", "pigdm", n, {}) for n in (8, 16)),
    ("digits", "pigdm", 16, {"sampler": "ddim:eta=1"}),
    *(("digits", "repaint:repeats=4", n, {}) for n in (6, 12)),
    ("digits", "repaint:repeats=2", 24, {}),
    ("digits", "repaint:repeats=8", 6, {}),
    ("digits", "repaint:jump=2,repeats=4", 12, {}),
]


def cost(method: str, steps: int) -> int:
    """Evaluations of the network for an image; a gradient counts as two."""
    name, options = split_options(method)
    if name == "repaint":
        return steps * int(options.get("repeats", 4))
    return 3 * steps if name == "pigdm" else steps


def seam(images: Tensor) -> float:
    """Mean absolute difference of the two rows in the middle, in grey levels."""
    row = images.shape[2] // 2
    return (images[:, :, row].float() - images[:, :, row - 1].float()).abs().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=2000)
    arguments = parser.parse_args()
    models = {name: load(name, "cpu") for name, *_ in SETTINGS}
    test = build.load_data(models["digits"].recipe.data, "test")
    images = test.images[: arguments.images]
    labels = test.labels[: arguments.images]
    mask = torch.zeros(test.size, dtype=torch.bool)
    mask[test.size[0] // 2 :] = True
    reference = reference_of()

    def row(name: str, drawn: Tensor, *words: str) -> list[str]:
        values = evaluate_images(Samples(drawn, labels), reference, name).values
        return [
            name,
            *words,
            f"{values['accuracy'][0]:.3f}",
            f"{values['accuracy_witness'][0]:.3f}",
            f"{values['digit_fid'][0]:.3f}",
            f"{seam(drawn) / seam(images):.2f}",
        ]

    rows = [row("test digits", images, "", "", "", "")]
    print(*rows[-1], flush=True)
    for name, method, steps, options in SETTINGS:
        drawn = models[name].inpaint(images, mask, labels, method=method, steps=steps, **options)
        assert (drawn[:, :, ~mask] == images[:, :, ~mask]).all()
        sampler = models[name].sampling_options(**options).sampler
        words = (
            "" if method.startswith("repaint") else sampler,
            f"{steps}",
            f"{cost(method, steps)}",
        )
        rows.append(row(name, drawn, method, *words))
        print(*rows[-1], flush=True)
    headings = ["model", "method", "sampler", "steps", "evaluations"]
    headings += ["accuracy", "by the second judge", "digit-FID", "seam"]
    machine.write_section(
        "inpainting",
        "## Inpainting\n\nThe lower half of test digits, drawn under the true label; the upper half is kept."
        f" {len(images):,} images. Seam 1 is that of real digits.\n\n"
        f"{machine.table(headings, rows)}\n\n{machine.describe()}",
    )


if __name__ == "__main__":
    main()
