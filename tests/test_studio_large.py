"""The studio with large colour images: requests of their size, and bounded memory."""

import io
import json
import weakref
from base64 import b64decode
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from common import tiny_recipe
from mezzotint import load
from mezzotint.studio import draw as draw_module
from mezzotint.studio.draw import draw, film_file
from mezzotint.studio.request import MOST_OPINIONS, longest, parse_json, parse_request
from mezzotint.studio.shelf import find_offers
from models import model_for, random_model_file
from studio_process import GOOD, Studio, text

SIDE = 256
SHAPE = (3, SIDE, SIDE)
PLAIN = {**GOOD, "model": "large", "labels": [], "sampler": "heun", "steps": 3}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A model of coloured images without classes, 256 pixels wide."""
    recipe = tiny_recipe(net={"width": 4, "groups": 2, "heads": 1})
    path = tmp_path_factory.mktemp("large") / "large.safetensors"
    return random_model_file(path, recipe, classes=0, channels=3, size=SIDE)


def picture():
    return torch.randint(0, 256, SHAPE, generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def encoded(values):
    return text(values.numpy().tobytes())


def test_as_many_pictures_as_are_judged_fit_into_a_request_and_no_more(large):
    offers = {offer.name: offer for offer in find_offers([str(large)], None)}
    images = torch.stack([picture()] * MOST_OPINIONS)
    request = json.dumps({"model": "large", "images": encoded(images), "labels": []})
    assert parse_json(request, offers)["model"] == "large"
    with pytest.raises(ValueError, match=f"at most {longest(offers)} characters"):
        parse_json(" " * (longest(offers) + 1), offers)
    small = {offer.name: offer for offer in find_offers(["digits-fast"], None)}
    with pytest.raises(ValueError, match="a request is a text of at most"):
        parse_json(request, small)


@pytest.mark.slow
def test_a_large_picture_is_mended_by_the_server(large, tmp_path):
    studio = Studio(tmp_path, "digits-fast", str(large))
    mask = torch.zeros(SIDE, SIDE, dtype=torch.uint8)
    mask[:100, :100] = 1
    task = {"task": "inpaint", "image": encoded(picture()), "mask": encoded(mask)}
    try:
        answer = studio.ask("generate", {**PLAIN, **task})
    finally:
        studio.stop()
    right = load(large, "cpu").inpaint(picture(), mask > 0, count=1, steps=3)
    assert b64decode(answer["x"])[-right.numel() :] == right.numpy().tobytes()


class Watched:
    """A model that knows how many of the moments it gave are still kept, each as floats.

    Args:
        model: the model that draws.
    """

    def __init__(self, model):
        self.spec = model.spec
        self.model = model
        self.most = 0

    def denoise(self, *arguments, **options):
        given = []
        for step in self.model.denoise(*arguments, **options):
            step = replace(step, x=step.x.clone(), x0=step.x0.clone())
            given.append(weakref.ref(step.x))
            yield step
            self.most = max(self.most, sum(moment() is not None for moment in given))


def drawing(**changes):
    """A request for digits by a tiny model, and a watched model for it."""
    model = model_for("heun")
    offers = {offer.name: offer for offer in find_offers(["digits"], None)}
    request = json.dumps({**GOOD, "model": "digits", "sampler": "heun", "steps": 48, **changes})
    return parse_request(request, offers), Watched(model)


def test_the_moments_of_a_film_are_kept_as_bytes_and_only_those_that_are_shown(monkeypatch):
    monkeypatch.setattr(draw_module, "MOST_BYTES", 5 * 64 * 2)
    request, model = drawing()
    *_, answer = draw(request, model)
    assert len(answer["t"]) == 5
    assert model.most <= 2
    right = model_for("heun").trajectory([3], steps=48, sampler="heun", guidance=1)
    assert b64decode(answer["x"]) == right.x[::12].numpy().tobytes()


def test_a_file_of_large_pictures_is_enlarged_less_and_then_shortened(monkeypatch):
    side = 12  # of a picture with the lines around it
    allowed = [10**6, 13 * (2 * side) ** 2, 13 * side**2, 5 * 64]
    found = []
    for most in allowed:
        monkeypatch.setattr(draw_module, "MOST_VALUES", most)
        request, model = drawing(steps=12)
        *_, answer = film_file(request, model, "gif", "x")
        assert model.most <= 2
        with Image.open(io.BytesIO(b64decode(answer["file"]))) as film:
            frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(film)]
        scale = frames[-1].shape[0] // side
        found.append((len(frames), scale))
        assert (
            frames[-1][2 * scale : 10 * scale : scale, 2 * scale : 10 * scale : scale] == right()
        ).all()
    assert found == [(13, 4), (13, 2), (13, 1), (5, 1)]


def right():
    """The last moment of :func:`drawing`'s shorter film."""
    return model_for("heun").sample([3], steps=12, sampler="heun", guidance=1)[0, 0].numpy()
