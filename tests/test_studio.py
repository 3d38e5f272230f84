"""The studio without a browser: its server in a process of its own, and its parser of requests."""

import io
import json
import re
import subprocess
import sys
import threading
import time
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
import requests
import torch
from PIL import Image, ImageSequence

from mezzotint import load
from mezzotint.build import load_data
from mezzotint.cli import main
from mezzotint.recipe.fields import RecipeError
from mezzotint.studio.draw import draw
from mezzotint.studio.request import BESIDE, longest, parse_request
from mezzotint.studio.server import QUEUE
from mezzotint.studio.shelf import find_offers
from mezzotint.viz.grids import tile
from models import random_model_file
from studio_process import GOOD, LONG, PATIENCE, Studio, text

pytest.importorskip("gradio", reason="the studio needs gradio")

DIGITS = {**GOOD, "model": "digits", "steps": 4, "sampler": "dpm++"}
PICTURE = bytes(range(256)) * 3 + bytes(16)
MASK = bytes(14 * 28) + bytes([1]) * (14 * 28)
EDIT = {**DIGITS, "task": "edit", "image": text(PICTURE), "strength": 0.5}
FILL = {**DIGITS, "task": "inpaint", "image": text(PICTURE), "mask": text(MASK)}
MORPH = {**DIGITS, "task": "morph", "end": 8, "endSeed": "5", "frames": 4}
JUDGED = {"model": "digits", "images": text(PICTURE), "labels": [3]}


@pytest.fixture(scope="module")
def offers():
    return {offer.name: offer for offer in find_offers(["digits-fast", "digits"], None)}


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """A model of coloured pictures without classes."""
    return random_model_file(
        tmp_path_factory.mktemp("colours") / "colours.safetensors", classes=0, channels=3
    )


@pytest.fixture(scope="module")
def studio(tmp_path_factory, colours):
    """A studio with both shipped models and one that has no classes."""
    running = Studio(tmp_path_factory.mktemp("studio"), "digits-fast", "digits", str(colours))
    yield running
    running.stop()


# --- Requests that make no sense.

HUGE = 10**400
BAD = [
    (GOOD, "count", [1e6, 10**6, HUGE, -1, 0, None, "abc", "1", 2.5, True, [1], {}]),
    (GOOD, "steps", [0, 5, 101, HUGE, 2.0, "2", None, True]),
    (GOOD, "labels", [[10], [-1], [HUGE], [True], [1.0], ["3"], [None], 3, None, [1] * 101, "3"]),
    (GOOD, "seed", [str(2**70), str(2**63), "-1", "1.5", "", "1e3", " 1", "٣", "²", 0, None, True]),
    (DIGITS, "guidance", [-1, 1e9, HUGE, "1", None, True, [1]]),
    (GOOD, "model", ["none", "", None, 0, ["digits"], "../../etc/passwd", "\ud800", "x" * 10_000]),
    (GOOD, "sampler", ["none", "dpm++", "ddim:eta=7", "../../etc/passwd", None, {"a": 1}]),
    (DIGITS, "sampler", ["consistency", "dpm++ ", "DPM++"]),
    (GOOD, "task", ["none", "compare", "", None, 0]),
    (EDIT, "image", ["", None, "!", text(bytes(783)), text(bytes(785)), text(bytes(2352)), 7]),
    (EDIT, "strength", [-0.1, 1.1, HUGE, "0.5", None, True]),
    (FILL, "mask", ["", None, text(bytes(783)), text(bytes(785)), 7, "é"]),
    (FILL, "image", ["", None]),
    (MORPH, "frames", [1, 101, 0, -1, 2.5, None, "4", HUGE]),
    (MORPH, "end", [10, -1, None, "8", [8]]),
    (MORPH, "endSeed", ["", "-1", None, 5]),
    (MORPH, "labels", [[], [1, 2]]),
]
NAMED = {"labels": "label", "end": "label"}
"""Words in the place of keys."""

CASES = [
    pytest.param(good, key, value, id=f"{good['task']}-{key}-{str(value)[:20]!a}")
    for good, key, values in BAD
    for value in values
]
TEXTS = {
    "nothing": "",
    "not JSON": "{'a': 1}",
    "a list": "[1, 2]",
    "a number": "7",
    "null": "null",
    "deep lists": "[" * 100_000,
    "deep objects": '{"a":' * 20_000,
    "NaN": json.dumps({**DIGITS, "guidance": float("nan")}),
    "infinity": json.dumps({**DIGITS, "guidance": float("inf")}),
    "a power": json.dumps(DIGITS).replace('"guidance": 1', '"guidance": 1e999'),
    "many digits": json.dumps(GOOD).replace('"count": 1', '"count": ' + "9" * 10_000),
    "too long": json.dumps({**GOOD, "image": "A" * 2 * BESIDE}),
}


def in_words(words: str) -> None:
    """A sentence for people: not empty, not long, no traceback, no path."""
    assert 10 < len(words) < 300
    assert "Traceback" not in words
    assert not re.search(r"\.py|site-packages|object at 0x", words)


@pytest.mark.parametrize(("good", "key", "value"), CASES)
def test_a_bad_value_is_refused_in_words_that_name_it(good, key, value, offers):
    parse_request(json.dumps(good), offers)
    for bad in ({**good, key: value}, {k: v for k, v in good.items() if k != key}):
        with pytest.raises(RecipeError) as refusal:
            parse_request(json.dumps(bad), offers)
        in_words(str(refusal.value))
        assert NAMED.get(key, key) in str(refusal.value)


@pytest.mark.parametrize("name", TEXTS)
def test_a_bad_text_is_refused_in_words(name, offers):
    with pytest.raises(RecipeError) as refusal:
        parse_request(TEXTS[name], offers)
    in_words(str(refusal.value))


@pytest.mark.parametrize("content", [None, 7, b"{}", ["{}"]])
def test_what_is_no_text_is_refused(content, offers):
    with pytest.raises(RecipeError, match="a request is a text"):
        parse_request(content, offers)


def test_more_pictures_than_are_drawn_at_once_are_refused(offers):
    with pytest.raises(RecipeError, match="110 pictures: at most 100"):
        parse_request(json.dumps({**GOOD, "labels": list(range(10)), "count": 11}), offers)


SERVED = [
    ("generate", {**GOOD, "count": 1e6}),
    ("generate", {**DIGITS, "guidance": HUGE}),
    ("generate", {**GOOD, "model": "../../etc/passwd"}),
    ("generate", TEXTS["deep lists"]),
    ("generate", {**FILL, "mask": text(bytes(784))}),
    ("generate", {**MORPH, "end": 3, "endSeed": "0"}),
    ("film", {**GOOD, "format": "exe", "show": "x"}),
    ("film", {**GOOD, "format": "gif", "show": "everything"}),
    ("film", GOOD),
    ("opinions", {**JUDGED, "model": "none"}),
    ("opinions", {**JUDGED, "images": ""}),
    ("opinions", {**JUDGED, "images": text(PICTURE[:-1])}),
    ("opinions", {**JUDGED, "labels": [1, 2]}),
    ("opinions", {**JUDGED, "labels": [10]}),
    ("opinions", {**JUDGED, "labels": ["1"]}),
    ("opinions", {**JUDGED, "labels": None}),
    ("opinions", {**JUDGED, "labels": "x"}),
    ("opinions", json.dumps(JUDGED).replace("[3]", "[1e999]")),
]


def test_the_server_answers_bad_requests_in_words_and_the_next_one_with_pictures(studio):
    for job, request in SERVED:
        answer = studio.ask(job, request)
        assert list(answer) == ["error"], (job, str(request)[:200])
        in_words(answer["error"])
        assert "went wrong" not in answer["error"], (job, str(request)[:200])
        assert "cannot be used" not in answer["error"], (job, str(request)[:200])
    assert studio.ask("generate", GOOD)["count"] == 1
    assert "Traceback" not in studio.output.read_text()


# --- What it draws.


def labels_of(request, each=1):
    return [label for label in request["labels"] for _ in range(each)]


def drawn(model, request):
    """What Python draws for a request, by the methods that users call."""
    options = {
        "seed": int(request["seed"]),
        "steps": request["steps"],
        "guidance": request["guidance"],
    }
    sampler = {"sampler": request["sampler"]}
    labels = labels_of(request, request["count"])
    image = torch.frombuffer(bytearray(PICTURE), dtype=torch.uint8).reshape(1, 28, 28)
    mask = torch.frombuffer(bytearray(MASK), dtype=torch.uint8).reshape(28, 28) > 0
    match request["task"]:
        case "generate":
            return model.sample(labels, **options, **sampler)
        case "edit":
            return model.edit(image, request["strength"], labels, **options, **sampler)
        case "inpaint":
            own = model.inpainting(image, mask).own_sampler  # which no name of a sampler goes with
            return model.inpaint(image, mask, labels, **options, **({} if own else sampler))
        case "morph":
            end_seed = int(request["endSeed"])
            frames = request["frames"]
            ends = (request["labels"][0], request["end"])
            return model.morph(*ends, frames=frames, end_seed=end_seed, **options, **sampler)


@pytest.mark.parametrize("task", [DIGITS, EDIT, FILL, MORPH], ids=lambda task: task["task"])
@pytest.mark.parametrize(
    "changes",
    [
        {"model": "digits-fast", "sampler": "consistency", "seed": str(2**63 - 1)},
        {"sampler": "ddim:eta=1", "guidance": 2.5},
        {"sampler": "heun", "seed": "7"},
    ],
    ids=lambda changes: changes["sampler"],
)
def test_the_pictures_are_those_of_python_bit_for_bit(studio, task, changes):
    request = {**task, **changes, "count": 2}
    answer = studio.ask("generate", request)
    right = drawn(load(request["model"], "cpu"), request)
    assert answer["shape"] == [1, 28, 28]
    assert answer["count"] == len(right)
    x = np.frombuffer(b64decode(answer["x"]), np.uint8).reshape(-1, *right.shape)
    assert np.array_equal(x[-1], right.numpy())
    assert answer["t"][-1] == 0
    assert len(x) == len(answer["t"]) == (1 if request["task"] == "morph" else 5)


def test_all_moments_of_a_film_are_those_of_python(studio):
    request = {**DIGITS, "labels": [3, 7], "steps": 12}
    answer = studio.ask("generate", request)
    film = load("digits", "cpu").trajectory([3, 7], steps=12, sampler="dpm++", guidance=1)
    assert answer["t"] == list(film.t)
    for name, right in (("x", film.x), ("x0", film.x0)):
        shown = np.frombuffer(b64decode(answer[name]), np.uint8).reshape(right.shape)
        assert np.array_equal(shown, right.numpy())


def test_of_a_long_film_moments_are_left_out_but_never_the_first_or_the_last(offers, monkeypatch):
    monkeypatch.setattr("mezzotint.studio.draw.MOST_BYTES", 7 * 784 * 2)
    model = load("digits-fast", "cpu")
    *_, answer = draw(parse_request(json.dumps({**GOOD, "steps": 24}), offers), model)
    film = model.trajectory([3], steps=24)
    assert answer["t"] == list(film.t)[::4]
    for name, right in (("x", film.x), ("x0", film.x0)):
        assert b64decode(answer[name]) == right[::4].numpy().tobytes()


def test_a_model_without_classes_draws_and_morphs_and_is_judged(studio, colours):
    model = load(colours, "cpu")
    name = find_offers([str(colours)], None)[0].name
    plain = {**DIGITS, "model": name, "labels": [], "count": 2, "sampler": "heun", "steps": 3}
    answer = studio.ask("generate", plain)
    right = model.sample(count=2, steps=3)
    assert b64decode(answer["x"])[-right.numel() :] == right.numpy().tobytes()
    answer = studio.ask("generate", {**MORPH, **plain, "task": "morph", "end": None})
    right = model.morph(None, None, frames=4, end_seed=5, steps=3)
    assert b64decode(answer["x"]) == right.numpy().tobytes()
    judged = studio.ask("opinions", {"model": name, "images": text(bytes(192)), "labels": []})
    assert judged["opinions"][0]["classes"] == []


def test_opinions_name_the_nearest_training_image_and_the_class(studio):
    model = load("digits", "cpu")
    images = model.sample([3, 7], steps=4)
    asked = {"model": "digits", "images": text(images.numpy().tobytes()), "labels": [3, 7]}
    opinions = studio.ask("opinions", asked)["opinions"]
    training = load_data(model.recipe.data).images.numpy().reshape(-1, 784).astype(np.float32)
    for image, label, opinion in zip(images.numpy(), [3, 7], opinions, strict=True):
        assert [who for who, _, _ in opinion["classes"]] == ["classifier", "the model itself"]
        assert {found for _, found, _ in opinion["classes"]} == {label}
        assert opinion["label"] == label
        squares = ((training - image.reshape(784)) ** 2).mean(1)
        assert opinion["nearest"]["distance"] == pytest.approx(squares.min() ** 0.5, abs=1e-2)
        assert b64decode(opinion["nearest"]["image"]) == bytes(
            training[squares.argmin()].astype(np.uint8)
        )


@pytest.mark.parametrize(("format", "kind"), [("gif", "GIF"), ("apng", "PNG"), ("webp", "WEBP")])
def test_films_are_files_whose_last_frame_is_the_pictures(studio, format, kind):
    request = {**GOOD, "labels": [3, 7], "format": format, "show": "x"}
    answer = studio.ask("film", request)
    film = Image.open(io.BytesIO(b64decode(answer["file"])))
    assert film.format == kind
    frames = [frame.convert("L") for frame in ImageSequence.Iterator(film)]
    assert len(frames) == 3
    right = tile(load("digits-fast", "cpu").sample([3, 7], steps=2), 2)[0]
    assert np.array_equal(np.asarray(frames[-1]), right.numpy().repeat(4, 0).repeat(4, 1))


# --- Stopping, and many visitors.


@pytest.mark.parametrize(
    ("job", "request_"),
    [
        ("generate", LONG),
        ("generate", {**LONG, "task": "morph", "end": 8, "endSeed": "5", "frames": 100}),
        ("film", {**LONG, "format": "gif", "show": "both"}),
    ],
    ids=["generate", "morph", "film"],
)
def test_a_job_whose_visitor_has_left_stops_computing(studio, job, request_):
    """The next one begins long before the first could have ended, by the first one's own pace."""
    status, session = studio.join(job, request_)
    assert status == 200
    began = None
    with studio.events(session) as events:
        for event in events:
            assert event["msg"] != "process_completed"
            if event["msg"] != "process_generating":
                continue
            progress = json.loads(event["output"]["data"][0])["progress"]
            began = began or (time.monotonic(), progress)
            if progress >= began[1] + 0.03:
                break
    pace = (time.monotonic() - began[0]) / (progress - began[1])
    left = time.monotonic()
    assert studio.ask("generate", GOOD)["count"] == 1
    assert time.monotonic() - left < 0.5 * pace * (1 - progress)


def test_of_fifty_visitors_each_is_answered_or_told_that_the_queue_is_full(studio):
    _, first = studio.join("generate", LONG)
    with studio.events(first) as events:
        next(event for event in events if event["msg"] == "process_generating")
        joined = []

        def visit() -> None:
            joined.append(studio.join("generate", {**GOOD, "seed": str(len(joined))}))

        threads = [threading.Thread(target=visit) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert sorted(status for status, _ in joined) == [200] * QUEUE + [503] * (50 - QUEUE)
    for status, session in joined:
        if status == 200:
            assert studio.answer(session)["count"] == 1
    assert studio.ask("generate", GOOD)["count"] == 1


def test_visitors_who_leave_in_a_row_do_not_close_the_studio(studio):
    for _ in range(12):
        _, session = studio.join("generate", LONG)
        with studio.events(session) as events:
            next(events)
    assert studio.ask("generate", GOOD)["count"] == 1


# --- What can be reached.


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
@pytest.mark.parametrize(
    "place",
    [
        *[
            "config",
            "config/",
            "info",
            "docs",
            "redoc",
            "openapi.json",
            "monitoring",
            "monitoring/x",
        ],
        *["gradio_api/config", "gradio_api/info", "gradio_api/upload", "gradio_api/run/generate"],
        *["gradio_api/call/generate", "gradio_api/api/generate", "gradio_api/run/predict"],
        *[
            "gradio_api/file=/etc/passwd",
            "file=/etc/passwd",
            "file/etc/passwd",
            "proxy=http://a.example",
        ],
        *[
            "gradio_api/queue/status",
            "gradio_api/cancel",
            "gradio_api/reset",
            "gradio_api/heartbeat/x",
        ],
        *[
            "gradio_api/component_server",
            "gradio_api/stream/x",
            "gradio_api/queue/join/",
            "//config",
        ],
        *["style.css/", "../server.py", "%2e%2e/server.py", "index.html", "engine-browser.js"],
        *["static/img/logo.svg", "theme.css", "manifest.json", "robots.txt", "login", "mcp"],
    ],
)
def test_nothing_else_is_served(studio, method, place):
    answer = requests.request(method, studio.address + place, timeout=PATIENCE)
    assert answer.status_code == 404
    assert method == "HEAD" or answer.text == "not here\n"


def test_the_page_and_its_files_are_served_with_their_types_and_a_policy(studio):
    page = requests.get(studio.address, timeout=PATIENCE)
    files = re.findall(r'(?:src|href)="([^":]+)"', page.text)
    assert {"style.css", "page.js", "engine-server.js"} <= set(files)
    for name, kind in [
        *((name, name.rpartition(".")[2]) for name in files),
        ("models.json", "json"),
    ]:
        answer = requests.get(studio.address + name, timeout=PATIENCE)
        assert answer.status_code == 200
        right = {"css": "text/css", "js": "text/javascript", "json": "application/json"}[kind]
        assert answer.headers["content-type"].startswith(right)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "",
        "localhost@evil.example",
        "[::2]",
    ],
)
def test_a_foreign_name_of_the_server_is_refused(studio, host):
    for place in ("", "models.json", "gradio_api/queue/data?session_hash=x"):
        answer = requests.get(studio.address + place, headers={"Host": host}, timeout=PATIENCE)
        assert answer.status_code == 421
    answer = requests.post(
        f"{studio.address}gradio_api/queue/join", json={}, headers={"Host": host}, timeout=PATIENCE
    )
    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_its_own_names_are_taken(studio, host):
    named = {"Host": f"{host}:{studio.port}"}
    assert requests.get(studio.address, headers=named, timeout=PATIENCE).status_code == 200


JOB = {"data": [json.dumps(GOOD)], "fn_index": 0, "session_hash": "one", "simple_format": True}
FILE = {"path": "http://pictures.example/a.png", "meta": {"_type": "gradio.FileData"}}
WRONG_JOBS = {
    "nothing": b"",
    "not JSON": b"{",
    "not UTF-8": b"\xff\xfe",
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "empty": b"{}",
    "no such job": {**JOB, "fn_index": 3},
    "a job by its name": {**JOB, "fn_index": "generate"},
    "a job before the first": {**JOB, "fn_index": -1},
    "no session": {**JOB, "session_hash": None},
    "no text": {**JOB, "data": []},
    "two texts": {**JOB, "data": ["{}", "{}"]},
    "a number": {**JOB, "data": [1]},
    "a file of the server": {**JOB, "data": [{**FILE, "path": "/etc/passwd"}]},
    "a file of another server": {**JOB, "data": [FILE]},
    "a file by its address": {**JOB, "data": [{**FILE, "path": "a", "url": FILE["path"]}]},
    "a file in a list": {**JOB, "data": [[FILE]]},
}


@pytest.mark.parametrize("name", WRONG_JOBS)
def test_a_job_of_another_form_is_refused_before_gradio_sees_it(studio, name):
    content = WRONG_JOBS[name]
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    place = f"{studio.address}gradio_api/queue/join"
    headers = {"content-type": "application/json"}
    answer = requests.post(place, data=body, headers=headers, timeout=PATIENCE)
    assert answer.status_code == 400
    assert studio.ask("generate", GOOD)["count"] == 1


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", None])
def test_a_form_of_another_site_cannot_queue_a_job(studio, kind):
    place = f"{studio.address}gradio_api/queue/join"
    body = json.dumps(JOB)
    answer = requests.post(place, data=body, headers={"content-type": kind}, timeout=PATIENCE)
    assert answer.status_code == 400


def test_a_large_body_is_refused(studio, offers):
    place = f"{studio.address}gradio_api/queue/join"
    for body in (bytes(2 * longest(offers) + 1), bytes(2**20), (bytes(2**16) for _ in range(16))):
        assert requests.post(place, data=body, timeout=PATIENCE).status_code == 413


# --- The process.


def test_nothing_is_written_and_nobody_else_is_reached(studio):
    studio.ask("generate", GOOD)
    studio.ask("film", {**GOOD, "format": "gif", "show": "x"})
    reached = {re.sub(r", [0-9]+", "", address) for address in studio.notes("reach")}
    assert reached == {"127.0.0.1", "('127.0.0.1')"}
    by_gradio = {studio.temporary, studio.temporary / "vibe_edit_history"}
    caches = {"matplotlib", "cache", "__pycache__"}
    written = {Path(name) for name in studio.notes("write", studio.noted_at_start)}
    assert not [path for path in written - by_gradio if not caches & {*path.parts}]
    assert set(studio.temporary.rglob("*")) <= by_gradio


def test_a_port_that_is_taken_is_said_in_words(studio):
    with pytest.raises(SystemExit, match=rf"^mezzotint: port {studio.port} on 127.0.0.1 cannot be"):
        main(["studio", "--no-browser", "--port", str(studio.port)])


def test_a_run_is_offered_under_its_own_name_as_far_as_that_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/mine", "b/mine", "a/two words", "a/digits"):
        random_model_file(tmp_path / name / "model.safetensors")
    random_model_file(tmp_path / "plain.safetensors")
    offers = find_offers(["digits", "b/mine", "plain.safetensors"], Path("a"))
    assert [offer.place for offer in offers] == [
        *["digits", "b/mine", "plain.safetensors", "a/digits", "a/mine", "a/two words"]
    ]
    names = [offer.name for offer in offers]
    assert names[0] == "digits"
    assert [names[2], names[5]] == ["plain", "two words"]
    for k, start in ((1, "b_mine-"), (3, "a_digits-"), (4, "a_mine-")):
        assert names[k].startswith(start)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "0"], "port = 0: it must be from 1 to 65535"),
        (["--port", "-1"], "port = -1: it must be from 1 to 65535"),
        (["--port", "65536"], "port = 65536: it must be from 1 to 65535"),
        (["--host", "nowhere.invalid"], "host = nowhere.invalid: there is no such name"),
        (["--host", "::1"], "host = ::1: there is no such name or IPv4 address"),
        (["--host", "203.0.113.5"], "203.0.113.5 cannot be used: "),
        (["--device", "quantum"], "'quantum' is not a device"),
        (["digits", "digits"], "two of one name: name each once"),
        (["digits", "nothing"], "there is no model at nothing"),
        (["--runs", "nothing"], "runs = nothing: there is no such folder"),
    ],
)
def test_wrong_arguments_are_said_before_anything_is_served(
    arguments, words, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=words):
        main(["studio", "--no-browser", *arguments])


def test_a_damaged_run_does_not_close_the_studio(tmp_path, capsys):
    random_model_file(tmp_path / "good" / "model.safetensors")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "model.safetensors").write_bytes(b"not a model")
    (tmp_path / "cut").mkdir()
    whole = (tmp_path / "good" / "model.safetensors").read_bytes()
    (tmp_path / "cut" / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty" / "checkpoints").mkdir(parents=True)
    (tmp_path / "something else").mkdir()
    (tmp_path / "note.txt").write_text("not a run")
    names = [offer.name for offer in find_offers(["digits"], tmp_path)]
    assert names == ["digits", "good"]
    warned = capsys.readouterr().err.splitlines()
    assert [
        bool(re.search(f"{name} is not offered: .", line))
        for name, line in zip(["bad", "cut", "empty"], warned, strict=True)
    ] == [True] * 3


def test_a_missing_library_is_said_in_words(monkeypatch):
    monkeypatch.setattr("mezzotint.studio.server.find_spec", lambda name: None)
    with pytest.raises(
        SystemExit, match=r"the studio needs a library: pip install 'mezzotint\[studio\]'"
    ):
        main(["studio"])


def test_the_packages_that_are_installed_go_together():
    checked = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


def test_ctrl_c_ends_it_at_once_and_without_a_traceback(studio):
    """The last test: there is no studio after it."""
    began = time.monotonic()
    assert studio.stop() in (0, 130)
    assert time.monotonic() - began < 15
    assert "Traceback" not in studio.output.read_text()
