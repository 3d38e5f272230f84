"""Morphing: noise that stays normal, labels that mix, ends that are samples."""

import pytest
import torch

from mezzotint import load
from mezzotint.editing.morphing import MixedNoise, mixed_labels
from mezzotint.nets.embeddings import OptionalLabels
from mezzotint.registry import SAMPLERS
from mezzotint.samplers import ImageNoise
from models import model_for

WEIGHTS = torch.linspace(0, 1, 7, dtype=torch.float64)


def noise_of(seed, shape=(1, 8, 8)):
    return ImageNoise(seed, range(1), shape, torch.device("cpu"))


def test_mixed_noise_is_standard_normal_for_every_weight_and_draw():
    mixed = MixedNoise(noise_of(1, (1, 300, 300)), noise_of(2, (1, 300, 300)), WEIGHTS)
    for _ in range(2):
        drawn = mixed().flatten(1)
        assert drawn.mean(1).abs().max() < 0.02
        assert (drawn.std(1) - 1).abs().max() < 0.02
        # The two ends are independent, and the middle is equally far from both.
        assert (drawn[0] * drawn[-1]).mean().abs() < 0.02
        assert (drawn[3] * drawn[0]).mean() == pytest.approx(0.5**0.5, abs=0.02)


def test_the_ends_of_mixed_noise_are_the_two_noises_bit_for_bit():
    mixed = MixedNoise(noise_of(1), noise_of(2), WEIGHTS)
    one, two = noise_of(1), noise_of(2)
    for _ in range(3):
        drawn = mixed()
        assert torch.equal(drawn[:1], one())
        assert torch.equal(drawn[-1:], two())


def test_weights_of_classes_mix_their_embeddings():
    embedding = OptionalLabels(10, 6)
    rows = embedding(mixed_labels(torch.tensor([3, 8]), WEIGHTS, 10))
    three, eight = embedding(torch.tensor([3, 8]))
    assert torch.equal(rows[0], three)
    assert torch.equal(rows[-1], eight)
    assert torch.allclose(rows[3], (three + eight) / 2)
    assert torch.equal(embedding(torch.zeros(1, 10)), embedding(torch.tensor([10])))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("end", "end_seed"), [(8, None), (3, 5), (8, 5)])
def test_the_ends_are_samples_bit_for_bit(sampler, end, end_seed):
    model = model_for(sampler)
    images = model.morph(3, end, frames=6, seed=2, end_seed=end_seed, sampler=sampler)
    assert torch.equal(images[:1], model.sample([3], seed=2, sampler=sampler))
    last = model.sample([end], seed=2 if end_seed is None else end_seed, sampler=sampler)
    assert torch.equal(images[-1:], last)
    assert torch.equal(
        images, model.morph(3, end, frames=6, seed=2, end_seed=end_seed, sampler=sampler, batch=4)
    )


@pytest.mark.parametrize("name", ["digits-fast", "digits"])
def test_frames_change_little_by_little(name):
    """With noise of later steps that is not mixed, a few-step model's frames jump."""
    model = load(name, "cpu")
    images = model.morph(3, 8, frames=25, end_seed=1).float()
    strides = (images[1:] - images[:-1]).square().mean((1, 2, 3)).sqrt()
    whole = (images[-1] - images[0]).square().mean().sqrt()
    assert strides.max() < 0.6 * whole


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"start": 3, "end": 3}, "same image"),
        ({"start": 3, "end": None}, "two classes, or none"),
        ({"start": 3, "end": 10}, "not a class"),
        ({"start": 3, "end": 8, "frames": 1}, "frames"),
        ({"start": 3, "end": 8, "frames": 10**6}, "frames"),
        ({"start": 3, "end": 8, "frames": 2.5}, "frames"),
        ({"start": 3, "end": 8, "end_seed": -1}, "seed"),
        ({"start": 3, "end": 8, "end_seed": 2**70}, "seed"),
        ({"start": 3, "end": 8, "steps": 0}, "steps"),
    ],
)
def test_what_makes_no_morph_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        model_for("heun").morph(arguments.pop("start"), arguments.pop("end"), **arguments)


def test_images_without_a_class_morph_by_their_noise():
    images = model_for("heun").morph(None, None, frames=3, seed=0, end_seed=1)
    assert torch.equal(images[:1], model_for("heun").sample(count=1, seed=0))
