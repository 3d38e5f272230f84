"""Training objectives: what a network is trained for.

denoising      an image seen through noise (the ordinary objective)
consistency    to jump to the end of a teacher's path
ddo            to find real images likelier than a reference model did
adversarial    to pass before a critic
"""

from .adversarial import AdversarialTuning
from .base import Draws, Objective
from .consistency import ConsistencyTuning
from .ddo import DDO
from .denoising import DenoisingObjective
from .losses import LOSSES, WEIGHTINGS
from .times import TIMES, Curriculum

__all__ = [
    "DDO",
    "LOSSES",
    "TIMES",
    "WEIGHTINGS",
    "AdversarialTuning",
    "ConsistencyTuning",
    "Curriculum",
    "DenoisingObjective",
    "Draws",
    "Objective",
]
