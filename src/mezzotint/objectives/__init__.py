"""Training objectives: what a network is trained for.

denoising      an image seen through noise (the ordinary objective)
consistency    to jump to the end of a teacher's path
ddo            to find real images likelier than a reference model did
adversarial    to pass before a critic
"""

from .adversarial import AdversarialTuning
from .base import Context, Draws, Objective
from .consistency import ConsistencyTuning
from .ddo import DDO
from .denoising import DenoisingObjective
from .times import Curriculum

__all__ = [
    "DDO",
    "AdversarialTuning",
    "ConsistencyTuning",
    "Context",
    "Curriculum",
    "DenoisingObjective",
    "Draws",
    "Objective",
]
