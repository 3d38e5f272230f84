"""Every name that a recipe can say, and where the part of that name is.

Nothing is imported before a part is asked for, so that ``--help`` knows all names and loads no torch. A part
of your own needs a file and one line, such as ``SCHEDULES["mine"] = "my_package.schedules:mine"``.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import torch

    from .data import Frame, ImageData
    from .diffusion.level import Coefficient, NoiseLevel
    from .diffusion.parametrizations import Parametrization
    from .diffusion.schedules import Schedule
    from .evaluation.measures import Measure
    from .objectives.losses import Residual
    from .objectives.times import Uniforms
    from .samplers.grids import Grid
    from .samplers.step import Sampler

T = TypeVar("T")


def load(place: str) -> Any:
    """What ``module:attribute`` names."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)


class Registry(Mapping[str, T], Generic[T]):
    """Parts by name, each imported when it is first asked for.

    Args:
        places: ``module:attribute`` of each, in the order in which they are listed.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = dict(places)

    def __getitem__(self, name: str) -> T:
        part: T = load(self._places[name])
        return part

    def __setitem__(self, name: str, place: str) -> None:
        """Add a part of your own, or take the place of one of ours."""
        self._places[name] = place

    def __delitem__(self, name: str) -> None:
        del self._places[name]

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def split_options(text: str) -> tuple[str, dict[str, str]]:
    """The name of a part, and its options as they are written after it.

    Args:
        text: ``name`` or ``name:option=value,option=value``, such as ``ddim:eta=0.5``.

    Raises:
        ValueError: if an option has no value, or is given twice.
    """
    name, colon, rest = text.partition(":")
    options: dict[str, str] = {}
    for item in rest.split(",") if colon else []:
        key, equals, value = item.partition("=")
        if not (equals and key.strip() and value.strip()) or key.strip() in options:
            raise ValueError(
                f"{text!r}: write each option once, as {name}:option=value,option=value"
            )
        options[key.strip()] = value.strip()
    return name.strip(), options


def with_options(kind: str, parts: Mapping[str, Callable[..., T]], text: str) -> Callable[..., T]:
    """A part, with the options that are written after its name.

    Args:
        kind: what it is, for errors: "sampler".
        parts: the registry.
        text: see :func:`split_options`. The options are the part's keyword-only arguments; each value has
            the type of the argument's default.

    Raises:
        ValueError: if the part has no such option, or the option no such value.
    """
    name, options = split_options(text)
    part = parts[name]
    parameters = inspect.signature(part).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    values: dict[str, Any] = {}
    for key, value in options.items():
        if key not in defaults:
            known = f"its options are {', '.join(defaults)}" if defaults else "it has no options"
            raise ValueError(f"{kind} {name!r} has no option {key!r}; {known}")
        values[key] = _parse(value, defaults[key], f"{kind} {name!r}: {key}")
    return partial(part, **values)


def _parse(text: str, default: Any, where: str) -> Any:
    """The value that a text means, of the type of a default."""
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise ValueError(f"{where} = {text!r} must be true or false")
        return text == "true"
    words = {int: "a whole number", float: "a number"}
    try:
        return type(default)(text)
    except ValueError:
        raise ValueError(f"{where} = {text!r} must be {words[type(default)]}") from None


SCHEDULES: "Registry[Callable[..., Schedule]]" = Registry(
    {
        "linear": "mezzotint.diffusion.schedules:linear",
        "cosine": "mezzotint.diffusion.schedules:cosine",
        "original-linear": "mezzotint.diffusion.schedules:original_linear",
        "original-cosine": "mezzotint.diffusion.schedules:original_cosine",
        "flow": "mezzotint.diffusion.schedules:flow",
    }
)

PARAMETRIZATIONS: "Registry[Parametrization]" = Registry(
    {
        "eps": "mezzotint.diffusion.parametrizations:eps",
        "x0": "mezzotint.diffusion.parametrizations:x0",
        "v": "mezzotint.diffusion.parametrizations:v",
        "flow": "mezzotint.diffusion.parametrizations:flow",
    }
)

LOSSES: "Registry[Callable[[Residual], Residual]]" = Registry(
    {
        "l1": "mezzotint.objectives.losses:l1",
        "l2": "mezzotint.objectives.losses:l2",
        "huber": "mezzotint.objectives.losses:huber",
    }
)

WEIGHTINGS: "Registry[Callable[[NoiseLevel, Parametrization], Coefficient]]" = Registry(
    {
        "constant": "mezzotint.objectives.losses:constant",
        "min-snr": "mezzotint.objectives.losses:min_snr",
    }
)

TIMES: "Registry[Callable[..., Uniforms]]" = Registry(
    {
        "uniform": "mezzotint.objectives.times:uniform",
        "stratified": "mezzotint.objectives.times:stratified",
        "logit-normal": "mezzotint.objectives.times:logit_normal",
    }
)

OBJECTIVES: Registry[Any] = (
    Registry(  # the section of the recipe, which names what makes the objective
        {
            "denoising": "mezzotint.recipe.objectives:Denoising",
            "distillation": "mezzotint.recipe.objectives:Distillation",
            "refinement": "mezzotint.recipe.objectives:Refinement",
            "adversarial": "mezzotint.recipe.objectives:AdversarialRefinement",
        }
    )
)

NETS: Registry[Any] = Registry(  # the section of the recipe, which names the network
    {
        "lean": "mezzotint.recipe.nets:Lean",
        "unet": "mezzotint.recipe.nets:UNet",
    }
)

OPTIMIZERS: "Registry[Callable[..., torch.optim.Optimizer]]" = Registry(
    {
        "adam": "mezzotint.training.optimizers:adam",
        "adamw": "mezzotint.training.optimizers:adamw",
        "muon": "mezzotint.training.optimizers:muon",
    }
)

SAMPLERS: "Registry[Callable[..., Sampler]]" = Registry(
    {
        "ddpm": "mezzotint.samplers.ddpm:DDPM",
        "ddim": "mezzotint.samplers.ddim:DDIM",
        "dpm++": "mezzotint.samplers.dpm:DPMSolver",
        "heun": "mezzotint.samplers.heun:Heun",
        "consistency": "mezzotint.samplers.consistency:Multistep",
    }
)
"""Classes of samplers, or functions that return one; their keyword arguments are the sampler's options."""

GRIDS: "Registry[Callable[..., Grid]]" = Registry(
    {
        "linspace": "mezzotint.samplers.grids:linspace",
        "trailing": "mezzotint.samplers.grids:trailing",
        "quadratic": "mezzotint.samplers.grids:quadratic",
        "log-snr": "mezzotint.samplers.grids:log_snr",
        "karras": "mezzotint.samplers.grids:karras",
    }
)
"""Functions of a schedule and a number of steps; their keyword arguments are the grid's options."""

INPAINTERS: Registry[Any] = Registry(
    {
        "replace": "mezzotint.editing.replacement:Replace",
        "pigdm": "mezzotint.editing.pigdm:PiGDM",
        "repaint": "mezzotint.editing.repaint:RePaint",
    }
)
"""Classes of methods to inpaint; their keyword arguments are the method's options."""

DATASETS: "Registry[Callable[..., ImageData]]" = Registry(
    {
        "mnist": "mezzotint.data.idx_sets:MNIST",
        "fashion-mnist": "mezzotint.data.idx_sets:FASHION_MNIST",
        "kmnist": "mezzotint.data.idx_sets:KMNIST",
        "emnist-byclass": "mezzotint.data.idx_sets:EMNIST_BYCLASS",
        "emnist-bymerge": "mezzotint.data.idx_sets:EMNIST_BYMERGE",
        "emnist-balanced": "mezzotint.data.idx_sets:EMNIST_BALANCED",
        "emnist-letters": "mezzotint.data.idx_sets:EMNIST_LETTERS",
        "emnist-digits": "mezzotint.data.idx_sets:EMNIST_DIGITS",
        "emnist-mnist": "mezzotint.data.idx_sets:EMNIST_MNIST",
        "cifar10": "mezzotint.data.cifar:CIFAR10",
        "cifar100": "mezzotint.data.cifar:CIFAR100",
    }
)

FORMATS: "Registry[Callable[[str, str, Frame, str], ImageData]]" = Registry(
    {
        "folder": "mezzotint.data.folders:from_folder",
        "npz": "mezzotint.data.arrays:from_npz",
        "idx": "mezzotint.data.arrays:from_idx",
        "celeba": "mezzotint.data.folders:from_celeba",
        "hf": "mezzotint.data.hub:from_hub",
    }
)
"""Files of one's own, named as ``format:PATH``."""

MEASURES: "Registry[Measure]" = Registry(
    {
        "digit_fid": "mezzotint.evaluation.measures:DIGIT_FID",
        "digit_fid_witness": "mezzotint.evaluation.measures:DIGIT_FID_WITNESS",
        "kid": "mezzotint.evaluation.measures:KID",
        "inception_score": "mezzotint.evaluation.measures:INCEPTION_SCORE",
        "precision": "mezzotint.evaluation.measures:PRECISION",
        "recall": "mezzotint.evaluation.measures:RECALL",
        "density": "mezzotint.evaluation.measures:DENSITY",
        "coverage": "mezzotint.evaluation.measures:COVERAGE",
        "accuracy": "mezzotint.evaluation.measures:ACCURACY",
        "accuracy_witness": "mezzotint.evaluation.measures:ACCURACY_WITNESS",
        "nearest_median": "mezzotint.evaluation.measures:NEAREST_MEDIAN",
        "nearest_percentile_1": "mezzotint.evaluation.measures:NEAREST_PERCENTILE_1",
        "nearest_minimum": "mezzotint.evaluation.measures:NEAREST_MINIMUM",
        "denoising_loss": "mezzotint.evaluation.measures:DENOISING_LOSS",
        "as_classifier": "mezzotint.evaluation.measures:AS_CLASSIFIER",
        "bits_vlb": "mezzotint.evaluation.measures:BITS_VLB",
        "bits_ode": "mezzotint.evaluation.measures:BITS_ODE",
    }
)
"""What an evaluation reports, in this order."""

CLASSIFIERS: Registry[Any] = Registry(
    {
        "plain": "mezzotint.nets.classifiers:Plain",
        "residual": "mezzotint.nets.classifiers:Residual",
    }
)
"""The classifiers that measure."""
