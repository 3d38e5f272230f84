"""Image to image: noise is added to an image up to some time, and removed again.

(Meng et al. 2022, "SDEdit", algorithm 1; docs/mathematics.md, eq. 23.) The further the noise goes, the
freer the result. All steps that are asked for are spent between that time and the image.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Images
from ..diffusion.process import diffuse
from ..diffusion.schedules import Schedule
from ..samplers.grids import Grid, distinct
from ..samplers.step import Noise, Step
from ..utils import pixels
from .base import Edit, Plan


@dataclass(frozen=True)
class ImageToImage(Edit):
    """A way that begins at a noisy image; ``Model.image_to_image`` makes it.

    Args:
        images: uint8 images (n, channels, height, width), n = 1 if all results share one.
        strength: time at which it begins: 0 gives the image back, 1 is sampling from pure noise.
    """

    images: Tensor
    strength: float

    @property
    def counts(self) -> dict[str, int]:
        """How many images there are."""
        return {"images": len(self.images)}

    def plan(self, plan: Plan, rows: slice) -> Plan:
        """The parts of sampling some of the images; see :meth:`Edit.plan`."""
        if self.strength == 1:
            return plan
        few = self.images if len(self.images) == 1 else self.images[rows]
        x0 = pixels.to_float(few)

        def walk(
            denoiser: Denoiser, x: Images, grid: Grid, labels: Labels | None, noise: Noise
        ) -> Iterator[Step]:
            if self.strength == 0:
                image = x0.to(x).expand_as(x)
                yield Step(image, image, 0.0)
                return
            start = diffuse(x0.to(x).expand_as(x), x, denoiser.schedule.level(grid[0]))
            yield from plan.walk(denoiser, start, grid, labels, noise)

        grid = shortened(plan.grid, self.strength, plan.denoiser.schedule)
        return replace(plan, walk=walk, grid=grid)


def shortened(grid: Grid, strength: float, schedule: Schedule) -> Grid:
    """A grid of as many steps on the times from ``strength`` to 0.

    Args:
        grid: n + 1 decreasing times, from 1 to 0.
        strength: above 0, at most 1.
        schedule: of the model. If its time is discrete, times are rounded to those there are.

    Returns:
        n + 1 decreasing times.

    Raises:
        ValueError: if there are fewer than n times up to ``strength``.
    """
    if strength in (0, 1):
        return grid
    times = grid * strength
    T = schedule.timesteps
    if T is None:
        return times
    n = len(grid) - 1
    first = max(1, round(strength * T))
    if first < n:
        raise ValueError(
            f"strength = {strength} leaves {first} of the {T} time steps, fewer than {n} sampling steps:"
            f" say a larger strength, or at most {first} steps"
        )
    steps = distinct((times[:-1] * T).round().clamp(max=first))
    return torch.cat([steps / T, grid.new_zeros(1)])
