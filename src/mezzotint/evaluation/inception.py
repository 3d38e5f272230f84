"""Inception-FID, the distance that papers call FID (Heusel et al. 2017), for RGB images.

Its network and its resizing are those of the extra ``[fid]``, torch-fidelity, which fetches the
network's weights when it is first used. Never to be compared with digit-FID.
"""

from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

RGB = UInt8[Tensor, "n 3 height width"]

MINIMUM = 2048
"""Below as many images as Inception has features, the covariance is singular and the number means
little."""


class _Images(Dataset[Tensor]):
    """Images as torch-fidelity takes them: uint8 (3, height, width), one at a time."""

    def __init__(self, images: RGB) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def inception_fid(images: RGB, real: RGB, device: torch.device | None = None) -> dict[str, Any]:
    """The distance and what must be said of it: network, counts, version.

    Raises ValueError where the images are not RGB or too few, ModuleNotFoundError, saying how to
    get it, where the extra is not installed.
    """
    for found in (images, real):
        if found.shape[1] != 3:
            raise ValueError(f"Inception-FID takes RGB images, not {found.shape[1]} channel(s)")
        if len(found) < MINIMUM:
            raise ValueError(f"Inception-FID needs at least {MINIMUM} images, not {len(found)}")
    try:
        import torch_fidelity
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Inception-FID needs the extra [fid]: pip install 'mezzotint[fid]' (torch-fidelity and"
            " torchvision; on a CPU build of torch, in an environment of its own)"
        ) from error
    found = torch_fidelity.calculate_metrics(
        input1=_Images(images),
        input2=_Images(real),
        fid=True,
        cuda=device is not None and device.type == "cuda",
        verbose=False,
    )
    return {
        "inception_fid": float(found["frechet_inception_distance"]),
        "images": len(images),
        "real_images": len(real),
        "features": f"inception-v3-compat of torch-fidelity {torch_fidelity.__version__}, 2048",
    }
