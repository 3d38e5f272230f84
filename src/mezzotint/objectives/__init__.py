"""Training objectives: what a network is trained for.

denoising      to predict the image behind the noise (the ordinary objective)
consistency    to jump to the end of a teacher's path
ddo            to give real images a higher likelihood than a reference model does
adversarial    to make images that a critic takes for real
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
