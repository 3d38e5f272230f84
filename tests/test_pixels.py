"""The conversions between uint8 and floats in [-1, 1]."""

import pytest
import torch

from mezzotint.utils import pixels


def test_all_256_values_survive_the_round_trip():
    values = torch.arange(256).to(torch.uint8)
    assert torch.equal(pixels.to_uint8(pixels.to_float(values)), values)


def test_the_float_scale_runs_from_minus_one_to_one():
    floats = pixels.to_float(torch.tensor([0, 255], dtype=torch.uint8))
    assert floats.tolist() == [-1.0, 1.0]
    assert floats.dtype == torch.float32


def test_values_just_inside_and_beyond_the_ends_neither_wrap_nor_truncate():
    # 0.9999, -0.1 and 1.1 on a scale of 0 to 1.
    images = 2 * torch.tensor([0.9999, -0.1, 1.1]) - 1
    assert pixels.to_uint8(images).tolist() == [255, 0, 255]


def test_values_far_beyond_the_ends_are_clamped():
    images = torch.tensor([-1e30, -2.0, 2.0, 1e30, float("inf"), -float("inf")])
    assert pixels.to_uint8(images).tolist() == [0, 0, 255, 255, 255, 0]


@pytest.mark.parametrize(("offset", "moved"), [(-0.6, -1), (-0.4, 0), (0.4, 0), (0.6, 1)])
def test_values_between_two_greys_go_to_the_nearest(offset, moved):
    greys = torch.arange(1, 255)
    images = (greys + offset) / 127.5 - 1
    assert torch.equal(pixels.to_uint8(images).long(), greys + moved)


def test_nan_is_refused_wherever_it_hides():
    images = torch.zeros(2, 1, 4, 4)
    images[1, 0, 3, 3] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        pixels.to_uint8(images)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_float_types_give_the_same_extremes_and_middle(dtype):
    images = torch.tensor([-1.0, 0.0, 1.0], dtype=dtype)
    assert pixels.to_uint8(images).tolist() == [0, 128, 255]


def test_the_shape_is_kept():
    images = torch.zeros(2, 3, 4, 5)
    assert pixels.to_uint8(images).shape == images.shape
    assert pixels.to_float(pixels.to_uint8(images)).shape == images.shape
