"""The page's noise and samplers in JavaScript, beside Python's: run by node."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import mezzotint
from common import few_step_recipe, tiny_recipe
from mezzotint.data import ImageSpec
from mezzotint.export.description import describe
from mezzotint.loading import from_parts
from mezzotint.samplers import ImageNoise
from mezzotint.utils.pixels import to_float
from models import random_weights

SCRIPTS = Path(mezzotint.__file__).parent / "assets" / "page"
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")

SHAPE = (1, 8, 8)
TABLE = {
    "diffusion": {"schedule": "cosine", "timesteps": 40, "parametrization": "v"},
    "sampling": {"sampler": "ddim", "grid": "linspace"},
}


class Affine(torch.nn.Module):
    """A network that can be written in any language: it mixes its inputs."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x, timestep, labels=None):
        """0.3 x + 0.2 cos(3 pixel) (t / T) + 0.1 sum_k k w_k."""
        size = x[0].numel()
        pattern = torch.cos(3 * torch.arange(size, dtype=torch.float32)).reshape(x.shape[1:])
        output = 0.3 * x + 0.2 * pattern * (timestep / self.scale)[:, None, None, None]
        if labels is None:
            return output
        if not labels.is_floating_point():
            labels = torch.nn.functional.one_hot(labels, 10).float()
        return output + 0.1 * (labels * torch.arange(10)).sum(1)[:, None, None, None]


NETWORK = """
const run = async (x, timestep, weights, count) => {
  const size = x.length / count;
  return Float32Array.from(x, (value, i) => {
    const k = Math.floor(i / size);
    let output = 0.3 * value + 0.2 * Math.cos(3 * (i % size)) * timestep[k] / about.timesteps;
    if (weights) for (let c = 0; c < 10; c++) output += 0.1 * c * weights[10 * k + c];
    return output;
  });
};
"""


def node(code):
    """What JavaScript prints, after the page's scripts, as JSON."""
    scripts = "".join((SCRIPTS / name).read_text() for name in ("noise.js", "sampler.js"))
    result = subprocess.run(
        [NODE, "-"], input=scripts + code, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("size", [16, 75, 784])
def test_the_noise_is_python_s(size):
    seeds = [0, 5, 2**32 + 7, 2**63 - 1]
    code = f"""
      const drawn = {json.dumps([str(seed) for seed in seeds])}.map((seed) => {{
        const noise = batchNoise(seed, [0, 3, 100], {size});
        noise();
        return [...noise()];
      }});
      console.log(JSON.stringify(drawn));
    """
    for seed, values in zip(seeds, node(code), strict=True):
        for row, number in zip(np.reshape(values, (3, size)), (0, 3, 100), strict=True):
            source = ImageNoise(seed, range(number, number + 1), (1, 1, size), torch.device("cpu"))
            source()
            assert np.abs(source().flatten().numpy() - row).max() < 2e-6


def model_of(recipe):
    spec = ImageSpec(SHAPE[1:], 1, tuple("0123456789"))
    model = from_parts(recipe, spec, random_weights(recipe, spec), torch.device("cpu"))
    scale = model.denoiser.schedule.timesteps or 1000
    object.__setattr__(model.denoiser, "network", Affine(scale))
    return model


def in_javascript(model, request):
    """The last images of a request, and the number of its moments."""
    code = f"""
      const about = {json.dumps(describe(model, "weights"))};
      const request = {json.dumps(request)};
      for (const name of ["image", "mask"]) {{
        if (request[name]) request[name] = Uint8Array.from(request[name]);
      }}
      {NETWORK}
      (async () => {{
        let moments = 0;
        let last;
        for await (const step of stepsOf(about, run, request)) {{ moments += 1; last = step; }}
        console.log(JSON.stringify([moments, [...last.x]]));
      }})();
    """
    moments, values = node(code)
    return moments, torch.tensor(values, dtype=torch.float32).reshape(-1, *SHAPE)


def request_of(task, sampler, steps, **others):
    request = {"task": task, "labels": [3, 8], "count": 2, "seed": "7", "guidance": 1.5}
    return {**request, "sampler": sampler, "steps": steps, **others}


def exact(steps):
    """The last images of steps, as floats."""
    return torch.cat([step.x for step in steps if step.final])


FLOW = tiny_recipe()
KINDS = [
    (few_step_recipe(), "consistency"),
    *((FLOW, sampler) for sampler in ("ddim", "ddpm", "dpm++")),
    *((tiny_recipe(**TABLE), sampler) for sampler in ("ddim", "ddpm", "dpm++")),
]
IMAGE = np.random.default_rng(1).integers(0, 256, SHAPE).astype(np.uint8)


@pytest.mark.parametrize(("recipe", "sampler"), KINDS)
def test_samples_are_python_s(recipe, sampler):
    model = model_of(recipe)
    moments, images = in_javascript(model, request_of("generate", sampler, 6))
    right = exact(model.denoise([3, 3, 8, 8], seed=7, sampler=sampler, steps=6, guidance=1.5))
    assert moments == 7
    assert (images - right).abs().max() < 1e-4


@pytest.mark.parametrize(("recipe", "sampler"), KINDS)
@pytest.mark.parametrize("strength", [0, 0.37, 1])
def test_edits_are_python_s(recipe, sampler, strength):
    model = model_of(recipe)
    request = request_of("edit", sampler, 6, image=IMAGE.flatten().tolist(), strength=strength)
    moments, images = in_javascript(model, request)
    edit = model.image_to_image(torch.from_numpy(IMAGE), strength)
    right = exact(
        model.denoise([3, 3, 8, 8], seed=7, edit=edit, sampler=sampler, steps=6, guidance=1.5)
    )
    assert moments == (1 if strength == 0 else 7)
    assert (images - right).abs().max() < 1e-4


@pytest.mark.parametrize("recipe", [few_step_recipe(), FLOW, tiny_recipe(**TABLE)])
def test_inpainting_is_python_s(recipe):
    model = model_of(recipe)
    mask = np.zeros(SHAPE[1:], np.uint8)
    mask[3:, 2:] = 1
    pixels = {"image": IMAGE.flatten().tolist(), "mask": mask.flatten().tolist()}
    sampler = "consistency" if recipe.few_step else "ddpm"
    _, images = in_javascript(model, request_of("inpaint", sampler, 6, **pixels))
    method = "replace" if recipe.few_step else "repaint"
    edit = model.inpainting(torch.from_numpy(IMAGE), torch.from_numpy(mask) > 0, method)
    right = exact(model.denoise([3, 3, 8, 8], seed=7, edit=edit, steps=6, guidance=1.5))
    assert (images - right).abs().max() < 1e-4
    kept = torch.from_numpy(mask) == 0
    assert (images - to_float(torch.from_numpy(IMAGE)))[:, :, kept].abs().max() < 1e-6


@pytest.mark.parametrize("end_seed", [7, 11])
@pytest.mark.parametrize(("recipe", "sampler"), KINDS[:3])
def test_morphs_are_python_s(recipe, sampler, end_seed):
    model = model_of(recipe)
    others = {"frames": 5, "end": 8, "endSeed": str(end_seed), "labels": [3]}
    _, images = in_javascript(model, request_of("morph", sampler, 6, **others))
    options = {"sampler": sampler, "steps": 6, "guidance": 1.5}
    right = model.morph(3, 8, frames=5, seed=7, end_seed=end_seed, **options)
    assert (images.clamp(-1, 1) - to_float(right)).abs().max() < 1 / 127.5
