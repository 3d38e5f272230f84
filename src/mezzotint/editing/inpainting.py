"""Inpainting: some pixels are known, the others are drawn so that they fit.

What is right is a draw from p(unknown | known). ``docs/editing.md`` has the distance of each method to it in
a case that is known exactly, and on digits. Two methods that are widely used are left out because they never
come close, however many steps they take: pasting the known pixels at the end, and replacing them in the
predicted image of an ordinary model under a deterministic sampler.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from ..diffusion.denoiser import Denoiser, Labels
from ..diffusion.level import Images
from ..registry import INPAINTERS, with_options
from ..samplers.denoise import Walk
from ..samplers.grids import Grid
from ..samplers.step import Noise, Step
from .base import Edit, Plan
from .known import Known
from .method import Method


def best_method(few_step: bool) -> str:
    """The method that measured best on digits (``docs/benchmarks.md``), for a distilled model or another."""
    return "replace" if few_step else "repaint"


def make_method(text: str | None, few_step: bool) -> Method:
    """A method of inpainting by its name and options.

    Args:
        text: such as "pigdm" or "repaint:jump=2,repeats=5"; None for what measured best for the model.
        few_step: whether the model is distilled.

    Returns:
        the method.

    Raises:
        ValueError: if there is no such method or option, or it does not go with the model.
    """
    text = text or best_method(few_step)
    name = text.partition(":")[0]
    if name not in INPAINTERS:
        raise ValueError(f"method = {text!r}: it is one of {', '.join(INPAINTERS)}")
    try:
        method = with_options("method", INPAINTERS, text)()
    except ValueError as error:
        raise ValueError(f"method {text!r}: {error}") from None
    if method.few_step != few_step:
        fitting = [key for key, kind in INPAINTERS.items() if kind.few_step == few_step]
        kind = "a distilled model" if few_step else "a model that is not distilled"
        raise ValueError(f"method = {text!r} is not for {kind}: use {' or '.join(fitting)}")
    return method


@dataclass(frozen=True)
class Inpainting(Edit):
    """Inpainting of images; ``Model.inpainting`` makes it.

    Args:
        images: uint8 images (n, channels, height, width), n = 1 if all results share one.
        unknown: True where pixels are repainted (m, 1, height, width), m = 1 if all results share it.
        method: how.
    """

    images: Tensor
    unknown: Tensor
    method: Method

    @property
    def default_steps(self) -> int | None:
        """The method's, unless all is repainted, which is sampling as usual."""
        return None if self._all else self.method.steps

    @property
    def own_sampler(self) -> bool:
        """Whether the method has one."""
        return self.method.own_sampler and not self._all

    @property
    def counts(self) -> dict[str, int]:
        """How many images and masks there are."""
        return {"images": len(self.images), "masks": len(self.unknown)}

    def plan(self, plan: Plan, rows: slice) -> Plan:
        """The parts of sampling some of the images; see :meth:`Edit.plan`."""
        if self._all:
            return plan
        known = Known.of(self.images, self.unknown, rows)
        changed = self.method.plan(plan, known)
        return replace(changed, walk=_exact(changed.walk, known))

    @property
    def _all(self) -> bool:
        return bool(self.unknown.all())


def _exact(walk: Walk, known: Known) -> Walk:
    """A sampler whose results have exactly the known pixels."""

    def exact(
        denoiser: Denoiser, x: Images, grid: Grid, labels: Labels | None, noise: Noise
    ) -> Iterator[Step]:
        for step in walk(denoiser, x, grid, labels, noise):
            if step.final:
                image = known.paste(step.x)
                step = Step(image, image, step.t)
            yield step

    return exact
