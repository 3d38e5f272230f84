"""The models that the studio offers: a fixed list, made when it starts. No path comes from a visitor."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .. import weights
from ..build import load_data, make_schedule
from ..data import ImageData, ImageSpec
from ..editing.inpainting import best_method, make_method
from ..evaluation.features import SHIPPED, Classifier, load_classifier
from ..export.description import STEPS
from ..loading import find_weights, is_model, load, model_names
from ..model import Model
from ..recipe.fields import RecipeError
from ..recipe.schema import Recipe
from ..samplers.grids import is_list
from ..utils.assets import shipped
from ..utils.console import warn

SAMPLERS = ("dpm++", "heun", "ddim", "ddim:eta=1", "ddpm")
LOADED = 4
"""Models that are kept in memory."""


@dataclass(frozen=True)
class Offer:
    """A model that visitors may choose.

    Args:
        name: that they see.
        place: where a command line finds it.
        path: of the weights file.
        recipe: its recipe.
        spec: shape and classes of its images.
    """

    name: str
    place: str
    path: Path
    recipe: Recipe
    spec: ImageSpec

    @property
    def samplers(self) -> tuple[str, ...]:
        """The samplers that go with it; the recipe's first."""
        if self.recipe.few_step:
            return ("consistency",)
        default = self.recipe.sampling.sampler
        return (default, *(name for name in SAMPLERS if name != default))

    @property
    def steps(self) -> tuple[int, ...]:
        """The numbers of steps that can be chosen."""
        default = self.recipe.sampling.steps
        if is_list(self.recipe.sampling.grid):
            return (default,)
        most = make_schedule(self.recipe.diffusion).timesteps or max(STEPS)
        return tuple(sorted({default, *(n for n in STEPS if n <= most)}))

    def describe(self, with_place: bool) -> dict[str, Any]:
        """What the page must know; with ``place`` for visitors of this computer alone."""
        method = make_method(None, self.recipe.few_step)
        sampling = self.recipe.sampling
        fitting = [n for n in self.steps if n <= method.steps]
        return {
            "name": self.name,
            "place": self.place if with_place else self.name,
            "shape": list(self.spec.shape),
            "classes": list(self.spec.classes),
            "few_step": self.recipe.few_step,
            "samplers": list(self.samplers),
            "steps": list(self.steps),
            "fill_steps": max(fitting, default=self.steps[0]),
            "fill_method": best_method(self.recipe.few_step),
            "sampling": {
                "sampler": sampling.sampler,
                "steps": sampling.steps,
                "guidance": sampling.guidance,
            },
        }


class Shelf:
    """The models of a studio, each loaded when it is first asked for.

    Args:
        offers: the models.
        device: of the models; None for the best one.
    """

    def __init__(self, offers: Sequence[Offer], device: str | None = None) -> None:
        self.offers = {offer.name: offer for offer in offers}
        self.device = device
        self._loaded: OrderedDict[str, Model] = OrderedDict()
        self._training: dict[str, ImageData | None] = {}

    def model(self, name: str) -> Model:
        """A model by its name. Raises KeyError if there is none."""
        path = self.offers[name].path
        if name not in self._loaded:
            self._loaded[name] = load(path, self.device)
            while len(self._loaded) > LOADED:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(name)
        return self._loaded[name]

    def training_images(self, name: str) -> ImageData | None:
        """What a model was trained on; None if that is not at hand."""
        if name not in self._training:
            try:
                data = load_data(self.offers[name].recipe.data)
            except (ValueError, OSError):
                self._training[name] = None
            else:
                fits = data.spec.shape == self.offers[name].spec.shape
                self._training[name] = data if fits else None
        return self._training[name]

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier that gives its opinion."""
        return load_classifier(SHIPPED["features"])


def find_offers(models: Sequence[str], runs: Path | None) -> list[Offer]:
    """The models to offer.

    Args:
        models: runs' folders, weights files or shipped models' names; all shipped ones if there are none.
        runs: a folder of runs, whose models are offered too; None for no such folder.

    Returns:
        the models, at least one.

    Raises:
        FileNotFoundError: if there is no such model or folder.
        ValueError: if a model that was named is damaged.
    """
    offers = [_offer(place) for place in models or sorted(shipped("models"))]
    if runs is not None:
        runs = runs.expanduser()
        if not runs.is_dir():
            raise FileNotFoundError(f"runs = {runs}: there is no such folder")
        for folder in sorted(runs.iterdir()):
            if folder.is_dir() and is_model(folder):
                try:
                    offers.append(_offer(str(folder)))
                except (ValueError, OSError) as error:  # one damaged run does not close the studio
                    warn(f"{folder} is not offered: {error}")
    names = model_names([offer.place for offer in offers])
    if len(set(names)) < len(names):
        raise RecipeError(f"the models {', '.join(names)} have two of one name: name each once")
    return [replace(offer, name=name) for offer, name in zip(offers, names, strict=True)]


def _offer(place: str) -> Offer:
    path = find_weights(place)
    recipe, spec = weights.read_header(path)
    return Offer(place, place, path, recipe, spec)
