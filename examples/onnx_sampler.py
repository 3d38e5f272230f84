"""Digits from an ONNX file, by numpy and onnxruntime: the pixels of `mezzotint sample`, without torch.

    mezzotint export onnx digits-fast --out digits-fast.onnx
    python examples/onnx_sampler.py digits-fast.onnx 7 3 1

It knows the samplers of the shipped models, consistency and dpm++ (docs/mathematics.md, eq. 4, 8, 10 and 15),
and images of a multiple of sixteen pixels.
"""

import json
import sys
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

Array = np.ndarray[Any, np.dtype[Any]]
LEVEL = ("alpha", "sigma")


def sample(path: str, labels: list[int], seed: int = 0) -> Array:
    """Sample an image for each label: uint8 (images, channels, height, width)."""
    network = onnxruntime.InferenceSession(path)
    about = json.loads(network.get_modelmeta().custom_metadata_map["mezzotint"])
    options = about["sampling"]
    times = about["grids"][str(options["steps"])]
    alphas, sigmas = (np.interp(times, about["knots"]["t"], about["knots"][name]) for name in LEVEL)
    source = [random_numbers(seed, k) for k in range(len(labels))]

    def predict(x: Array, k: int, labels: list[int]) -> Array:
        timestep = np.full(len(x), times[k] * about["timesteps"], np.float32)
        inputs = {"x": x.astype(np.float32), "timestep": timestep, "labels": np.array(labels)}
        output = network.run(None, inputs)[0]
        a, b = kinds(alphas[k], sigmas[k])[about["parametrization"]]
        return (b * x - sigmas[k] * output) / (alphas[k] * b - sigmas[k] * a)

    x = noise(source, about["shape"])
    last_x0 = x
    last_h = np.inf
    for k in range(len(times) - 1):
        x0 = predict(x, k, labels)
        low, high = options["interval"]
        if options["guidance"] != 1 and low < times[k] <= high:
            unlabelled = predict(x, k, [about["no_label"]] * len(labels))
            x0 = unlabelled + options["guidance"] * (x0 - unlabelled)
        x0 = x0.clip(-1, 1) if options["clip"] else x0
        if times[k + 1] == 0:
            break
        if options["sampler"] == "consistency":
            x = alphas[k + 1] * x0 + sigmas[k + 1] * noise(source, about["shape"])
            continue
        h = np.diff(np.log(alphas[k : k + 2] / sigmas[k : k + 2]))[0] if alphas[k] > 0 else np.inf
        d = x0 + h / (2 * last_h) * (x0 - last_x0) if h + last_h < np.inf else x0
        ratio = sigmas[k + 1] / sigmas[k]
        x = ratio * x + (alphas[k + 1] - alphas[k] * ratio) * d
        last_x0 = x0
        last_h = h
    return np.rint((x0 + 1) * 127.5).clip(0, 255).astype(np.uint8)


def kinds(alpha: float, sigma: float) -> dict[str, tuple[float, float]]:
    """What a network can predict, a x0 + b eps, as (a, b)."""
    return {"eps": (0, 1), "x0": (1, 0), "v": (-sigma, alpha), "flow": (-1, 1)}


def random_numbers(seed: int, number: int) -> np.random.RandomState:
    """The source of an image's noise, which depends on the seed and the number of the image alone."""
    mixed = np.random.SeedSequence(seed, spawn_key=(number,)).generate_state(2, np.uint32)
    return np.random.RandomState(mixed[0])


def noise(source: list[np.random.RandomState], shape: list[int]) -> Array:
    """Normal noise, as torch draws it on a CPU: MT19937, and Box-Muller on sixteen numbers at a time."""
    words = [np.frombuffer(one.bytes(4 * int(np.prod(shape))), "<u4") for one in source]
    u = (np.stack(words) & 0xFFFFFF).reshape(-1, 2, 8) / 2**24
    radius = np.sqrt(-2 * np.log(1 - u[:, 0]))
    angle = 2 * np.pi * u[:, 1]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return pairs.astype(np.float32).reshape(len(source), *shape)


if __name__ == "__main__":
    images = sample(sys.argv[1], [int(word) for word in sys.argv[2:]])
    Image.fromarray(np.concatenate(list(images[:, 0]), axis=1)).save("onnx-sampler.png")
    print("onnx-sampler.png")
