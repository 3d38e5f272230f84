"""Pictures: grids, animations as Pillow reads them back, the loss curve."""

import numpy as np
import pytest
import torch
from PIL import Image

from mezzotint.viz.animations import SUFFIXES, frame_duration, save_animation, select, side_by_side
from mezzotint.viz.curves import save_loss_curve
from mezzotint.viz.grids import tile, to_pillow

FORMATS = list(SUFFIXES)


def constant(*values, channels=1, size=4):
    """One even frame for each value."""
    frames = torch.tensor(values, dtype=torch.uint8)
    return frames[:, None, None, None].expand(-1, channels, size, size).contiguous()


def noise(frames, channels, size=8):
    """Frames of independent random pixels."""
    source = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (frames, channels, size, size), generator=source).to(torch.uint8)


def read(path):
    """The frames as RGB arrays, their durations in milliseconds, and the loop count."""
    frames, durations = [], []
    with Image.open(path) as picture:
        for k in range(picture.n_frames):
            picture.seek(k)
            picture.load()  # WebP tells a frame's duration only once it is decoded
            frames.append(np.asarray(picture.convert("RGB")).astype(int))
            durations.append(round(picture.info["duration"]))
        return frames, durations, picture.info.get("loop")


@pytest.mark.parametrize("format", FORMATS)
def test_equal_frames_may_merge_but_their_time_is_kept(format, tmp_path):
    path = tmp_path / f"a{SUFFIXES[format]}"
    save_animation(path, constant(*[0] * 5, *[255] * 5), format=format, fps=10, hold=0)
    frames, durations, _ = read(path)
    assert sum(durations) == 1000
    shown = {int(frame.mean()): time for frame, time in zip(frames, durations, strict=True)}
    assert shown == {0: 500, 255: 500}


@pytest.mark.parametrize("format", FORMATS)
def test_the_last_frame_is_held(format, tmp_path):
    path = tmp_path / f"a{SUFFIXES[format]}"
    save_animation(path, constant(0, 100, 200), format=format, fps=10, hold=1.5)
    assert read(path)[1] == [100, 100, 1600]


@pytest.mark.parametrize("format", FORMATS)
def test_it_loops_for_ever(format, tmp_path):
    path = tmp_path / f"a{SUFFIXES[format]}"
    save_animation(path, constant(0, 255), format=format)
    assert read(path)[2] == 0


@pytest.mark.parametrize(
    ("fps", "milliseconds"), [(8, 120), (30, 30), (60, 10), (20, 50), (100, 10)]
)
def test_a_frame_lasts_whole_hundredths_of_a_second(fps, milliseconds):
    assert frame_duration(fps) == milliseconds


@pytest.mark.parametrize(("fps", "milliseconds"), [(8, 120), (30, 30), (60, 10)])
def test_the_file_has_the_speed_that_was_asked_for(fps, milliseconds, tmp_path):
    path = tmp_path / "a.gif"
    save_animation(path, constant(0, 100, 200), fps=fps, hold=0)
    assert read(path)[1] == [milliseconds] * 3


@pytest.mark.parametrize("fps", [200, 100.1, 0, -1, float("nan"), float("inf")])
def test_a_speed_that_cannot_be_shown_is_refused_in_words(fps, tmp_path):
    with pytest.raises(ValueError, match=r"fps = .*at most 100"):
        save_animation(tmp_path / "a.gif", constant(0, 255), fps=fps)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"hold": float("inf")},
        {"hold": float("nan")},
        {"hold": -1.0},
        {"hold": 700.0},
        {"fps": 0.001},
    ],
    ids=str,
)
def test_a_time_that_no_gif_can_hold_is_refused_in_words(settings, tmp_path):
    # A frame's time is a 16-bit count of hundredths of a second: 655.35 s at most.
    (name,) = settings
    with pytest.raises(ValueError, match=name):
        save_animation(tmp_path / "a.gif", constant(0, 255), **settings)


def test_an_animation_without_frames_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        save_animation(tmp_path / "a.gif", noise(1, 1)[:0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_one_frame_is_enough(format, tmp_path):
    path = tmp_path / f"a{SUFFIXES[format]}"
    save_animation(path, constant(77), format=format, scale=2)
    with Image.open(path) as picture:
        assert picture.size == (8, 8)
        assert picture.convert("RGB").getpixel((3, 3)) == (77, 77, 77)


@pytest.mark.parametrize("format", FORMATS)
def test_grey_pixels_survive_exactly(format, tmp_path):
    # Some pixels stay as they are from frame to frame, which writers may leave transparent.
    film = noise(6, 1, size=16)
    film[:, :, :3] = 128
    path = tmp_path / f"a{SUFFIXES[format]}"
    save_animation(path, film, format=format, scale=1)
    frames, _, _ = read(path)
    assert len(frames) == len(film)
    for frame, original in zip(frames, film, strict=True):
        for channel in range(3):
            assert np.array_equal(frame[:, :, channel], original[0].numpy())


@pytest.mark.parametrize("format", FORMATS)
def test_mid_grey_is_the_same_grey_whatever_other_frames_hold(format, tmp_path):
    path = tmp_path / f"a{SUFFIXES[format]}"
    for others in [(0, 255), (120, 130), (128, 129), (1, 2)]:
        save_animation(path, constant(others[0], 127, others[1]), format=format)
        middle = read(path)[0][1]
        assert np.unique(middle).tolist() == [127]


@pytest.mark.parametrize("format", FORMATS)
def test_plain_colours_stay_what_they_are(format, tmp_path):
    film = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    for k in range(3):
        film[k, k] = 255  # red, green, blue
    path = tmp_path / f"a{SUFFIXES[format]}"
    save_animation(path, film, format=format, scale=1)
    frames, _, _ = read(path)
    for frame, original in zip(frames, film, strict=True):
        assert np.abs(frame - original.permute(1, 2, 0).numpy()).max() <= 8


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_grids_and_animations_of_one_and_three_channels(channels, mode, format, tmp_path):
    films = noise(4 * 6, channels).unflatten(0, (4, 6))  # four moments of six images
    grids = torch.stack([tile(moment, 3) for moment in films])
    assert grids.shape == (4, channels, 2 * 10 + 2, 3 * 10 + 2)
    assert to_pillow(grids[0]).mode == mode
    path = tmp_path / f"a{SUFFIXES[format]}"
    save_animation(path, grids, format=format, scale=2)
    frames, _, _ = read(path)
    assert len(frames) == 4
    assert frames[0].shape == (44, 64, 3)
    coloured = any((frame.max(axis=2) != frame.min(axis=2)).any() for frame in frames)
    assert coloured == (channels == 3)


def test_a_grey_gif_is_stored_as_grey(tmp_path):
    save_animation(tmp_path / "a.gif", constant(0, 127, 255))
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.mode == "L"


@pytest.mark.parametrize(("moments", "frames"), [(51, 60), (51, 51), (51, 50), (1001, 60), (9, 2)])
def test_the_first_and_the_last_moment_are_always_selected(moments, frames):
    chosen = select(moments, frames)
    assert chosen[0] == 0
    assert chosen[-1] == moments - 1
    assert len(chosen) == min(moments, frames)
    strides = np.diff(chosen)
    assert strides.min() >= 1
    assert strides.max() - strides.min() <= 1


def test_tiles_stand_row_by_row_with_gaps_around_them():
    images = constant(10, 20, 30, 40, 50, size=2)
    canvas = tile(images, columns=3, gap=1)
    assert canvas.shape == (1, 7, 10)
    assert canvas.dtype == torch.uint8
    rows, columns = [1, 4], [1, 4, 7]
    for k, image in enumerate(images):
        top, left = rows[k // 3], columns[k % 3]
        assert torch.equal(canvas[:, top : top + 2, left : left + 2], image)
    ground = canvas[0, 0, 0]
    assert (canvas[0, 0] == ground).all()
    assert (canvas[0, 3] == ground).all()
    assert (canvas[0, :, 3] == ground).all()
    assert (canvas[0, 4:, 7:] == ground).all()  # the place of a sixth image


@pytest.mark.parametrize("channels", [1, 3])
def test_scale_enlarges_each_pixel_to_a_square(channels):
    image = noise(1, channels, size=3)[0]
    large = np.asarray(to_pillow(image, 4)).reshape(12, 12, channels)
    small = image.permute(1, 2, 0).numpy()
    assert np.array_equal(large, small.repeat(4, axis=0).repeat(4, axis=1))


@pytest.mark.parametrize("channels", [2, 4])
def test_pictures_have_one_or_three_channels(channels):
    with pytest.raises(ValueError, match=f"1 or 3 channels, not {channels}"):
        to_pillow(noise(1, channels)[0])


def test_two_animations_side_by_side_keep_their_pixels():
    left, right = noise(2, 1), 255 - noise(2, 1)
    both = side_by_side(left, right, gap=3)
    assert both.shape == (2, 1, 8, 19)
    assert torch.equal(both[..., :8], left)
    assert torch.equal(both[..., 11:], right)


def test_the_loss_curve_shows_the_losses(tmp_path):
    steps = list(range(1, 101))
    for name, losses in [
        ("falling.png", [1 / step for step in steps]),
        ("rising.png", [step / 100 for step in steps]),
    ]:
        save_loss_curve(tmp_path / name, steps, losses, "digits")
    pictures = []
    for path in sorted(tmp_path.iterdir()):
        with Image.open(path) as picture:
            assert min(picture.size) > 200
            pictures.append(np.asarray(picture.convert("L")).astype(int))
    assert all(len(np.unique(picture)) > 10 for picture in pictures)
    assert (pictures[0] != pictures[1]).mean() > 0.001


def test_a_loss_curve_of_a_single_entry_can_be_drawn(tmp_path):
    save_loss_curve(tmp_path / "loss.png", [5], [0.5], "digits")
    with Image.open(tmp_path / "loss.png") as picture:
        assert len(np.unique(np.asarray(picture))) > 10
