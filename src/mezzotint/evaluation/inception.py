"""Inception-FID, the distance that papers call FID (Heusel et al. 2017), for RGB images.

The network and the resizing are those of torch-fidelity (extra ``[fid]``), which downloads the weights on
first use. The values cannot be compared with digit-FID, which uses other features.
"""

from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

RGB = UInt8[Tensor, "n 3 height width"]

MINIMUM = 2048
"""Number of Inception's features; with fewer images the covariance is singular and FID unreliable."""


class _Images(Dataset[Tensor]):
    """Images in the form that torch-fidelity reads: one uint8 (3, height, width) at a time."""

    def __init__(self, images: RGB) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def inception_fid(images: RGB, real: RGB, device: torch.device | None = None) -> dict[str, Any]:
    """Return Inception-FID with the protocol needed to interpret it.

    Args:
        images: (n, 3, height, width) uint8 generated images, n >= 2048.
        real: (m, 3, height, width) uint8 real images, m >= 2048.
        device: Where to compute; CUDA if it is of that type, else the CPU.

    Returns:
        ``inception_fid``, the two counts ``images`` and ``real_images``, and ``features``, the network.

    Raises:
        ValueError: If images are not RGB, or too few.
        ModuleNotFoundError: If the extra ``[fid]`` is not installed.
    """
    for batch in (images, real):
        if batch.shape[1] != 3:
            raise ValueError(f"Inception-FID takes RGB images, not {batch.shape[1]} channel(s)")
        if len(batch) < MINIMUM:
            raise ValueError(f"Inception-FID needs at least {MINIMUM} images, not {len(batch)}")
    try:
        import torch_fidelity
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Inception-FID needs the extra [fid]: pip install 'mezzotint[fid]' (torch-fidelity and"
            " torchvision; on a CPU build of torch, in an environment of its own)"
        ) from error
    metrics = torch_fidelity.calculate_metrics(
        input1=_Images(images),
        input2=_Images(real),
        fid=True,
        cuda=device is not None and device.type == "cuda",
        verbose=False,
    )
    return {
        "inception_fid": float(metrics["frechet_inception_distance"]),
        "images": len(images),
        "real_images": len(real),
        "features": f"inception-v3-compat of torch-fidelity {torch_fidelity.__version__}, 2048",
    }
