"""What a method of inpainting is."""

from abc import ABC, abstractmethod
from typing import ClassVar

from .base import Plan
from .known import Known


class Method(ABC):
    """A way to inpaint."""

    few_step: ClassVar[bool]
    """Whether it is for distilled models, or for ordinary ones."""
    steps: ClassVar[int]
    """Sampling steps if none are asked for."""
    own_sampler: ClassVar[bool] = False
    """Whether it has a sampler of its own, in the place of the recipe's."""

    @abstractmethod
    def plan(self, plan: Plan, known: Known) -> Plan:
        """The parts of sampling with these pixels known; known pixels need not come out exact."""
