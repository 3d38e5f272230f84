"""Checkpoints and weights files: whole or not at all, and nothing foreign is taken for ours."""

import errno
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from common import tiny_data, tiny_recipe
from mezzotint import weights
from mezzotint.recipe.versions import FORMAT
from mezzotint.runs.train import make_trainer, train
from mezzotint.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from mezzotint.training.trainer import Trainer
from mezzotint.utils import files
from mezzotint.utils.files import sha256, whole_file, whole_folder

TESTS = Path(__file__).parent
RECIPE = tiny_recipe(training={"steps": 1})


@pytest.fixture(scope="module")
def trained() -> Trainer:
    """A trainer after one step; a test may say that it is at another."""
    trainer = make_trainer(RECIPE, tiny_data())
    trainer.run()
    return trainer


def save(folder: Path, trainer: Trainer, step: int, keep: int = 9) -> Path:
    trainer.state.step, trainer.state.images = step, 8 * step
    header = weights.header(RECIPE, trainer.spec)
    return save_checkpoint(folder, trainer.state, header, keep=keep)


def loads(path: Path, step: int) -> None:
    """The checkpoint is whole: it loads, as what it is."""
    fresh = make_trainer(RECIPE, tiny_data())
    load_checkpoint(path, fresh.state)
    assert (fresh.state.step, fresh.state.images) == (step, 8 * step)


# --- What goes wrong while one is written.


def full(*arguments: Any, **named: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def fail_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int) -> None:
    """Make the ``call``-th call (from 0) of ``owner.name`` fail as on a full disk, half done."""
    real, count = getattr(owner, name), iter(range(10**9))

    def wrapper(*arguments: Any, **named: Any) -> Any:
        if next(count) == call:
            target = next((a for a in arguments if isinstance(a, Path)), None)
            if name == "save" and target is not None:
                target.write_bytes(b"half a file")
            full()
        return real(*arguments, **named)

    monkeypatch.setattr(owner, name, wrapper)


# Every write there is inside a save: two tensor files, the manifest, three files brought to the
# disk and their folder, the renaming.
WRITES = [
    (weights, "save", 0),
    (weights, "save", 1),
    (Path, "write_text", 0),
    *((os, "fsync", call) for call in range(4)),
    (Path, "rename", 0),
]


@pytest.mark.parametrize(("owner", "name", "call"), WRITES, ids=lambda v: getattr(v, "__name__", v))
def test_a_full_disk_at_any_write_leaves_the_previous_checkpoint_whole_and_chosen(
    tmp_path: Path,
    trained: Trainer,
    monkeypatch: pytest.MonkeyPatch,
    owner: Any,
    name: str,
    call: int,
) -> None:
    before = save(tmp_path, trained, 5)
    with monkeypatch.context() as patch:
        fail_at(patch, owner, name, call)
        with pytest.raises(OSError, match="No space left"):
            save(tmp_path, trained, 10)
    assert [path.name for path in tmp_path.iterdir()] == [before.name]  # no litter either
    assert latest_checkpoint(tmp_path) == before
    loads(before, 5)
    # With room again, all goes on.
    assert latest_checkpoint(save(tmp_path, trained, 10).parent) == tmp_path / "step-00000010"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Within the block the system itself refuses to write files larger than ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["nothing fits", "half", "only the weights"])
def test_so_does_a_limit_set_by_the_system(tmp_path: Path, trained: Trainer, share: float) -> None:
    before = save(tmp_path, trained, 5)
    size = (before / "model.safetensors").stat().st_size
    assert (before / "state.safetensors").stat().st_size > size
    with largest_file(int(size * share)), pytest.raises(Exception, match=r"[Ff]ile too large"):
        save(tmp_path, trained, 10)
    assert [path.name for path in tmp_path.iterdir()] == [before.name]
    assert latest_checkpoint(tmp_path) == before


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from common import tiny_data, tiny_recipe
from mezzotint import weights
from mezzotint.runs.train import make_trainer
from mezzotint.training.checkpoint import save_checkpoint

recipe = tiny_recipe(training={{"steps": 1}})
trainer = make_trainer(recipe, tiny_data())
trainer.run()

def save(step):
    trainer.state.step, trainer.state.images = step, 8 * step
    header = weights.header(recipe, trainer.spec)
    save_checkpoint(Path({folder!r}), trainer.state, header, keep=9)

save(5)
real, calls = weights.save, []

def die(path, *rest):
    calls.append(path)
    real(path, *rest)
    if len(calls) == 2:
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)

weights.save = die
save(10)
"""


def test_a_kill_inside_a_save_leaves_the_previous_checkpoint_whole_and_chosen(
    tmp_path: Path, trained: Trainer
) -> None:
    script = KILLED.format(tests=str(TESTS), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-00000005"]
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000005"
    loads(tmp_path / "step-00000005", 5)
    # What the killed process left is cleared away by the next save.
    assert list(tmp_path.glob(".tmp-*"))
    save(tmp_path, trained, 10)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000005", "step-00000010"]


@pytest.mark.parametrize("call", [0, 1], ids=["the old one away", "the new one in"])
def test_saving_the_same_step_again_never_leaves_less_than_before(
    tmp_path: Path, trained: Trainer, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    before = save(tmp_path, trained, 5)
    with monkeypatch.context() as patch:
        fail_at(patch, Path, "rename", call)
        with pytest.raises(OSError, match="No space left"):
            save(tmp_path, trained, 5)
    assert [path.name for path in tmp_path.iterdir()] == [before.name]
    assert latest_checkpoint(tmp_path) == before
    loads(save(tmp_path, trained, 5), 5)


def test_a_kill_while_a_checkpoint_gives_way_to_another_of_its_step_loses_nothing(
    tmp_path: Path, trained: Trainer
) -> None:
    path = save(tmp_path, trained, 5)
    path.rename(path.with_name(f"{files.OLD}{path.name}"))  # killed before the new one came in
    assert latest_checkpoint(tmp_path) == path
    loads(path, 5)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    shutil.copytree(path, path.with_name(f"{files.OLD}{path.name}"))  # killed after it
    assert latest_checkpoint(tmp_path) == path
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_a_folder_that_cannot_be_read_is_not_taken_for_an_empty_one(
    tmp_path: Path, trained: Trainer, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A run would begin at step 0."""
    save(tmp_path, trained, 5)

    def refuse(path: Path) -> Iterator[Path]:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(OSError, match=os.strerror(code)):
        latest_checkpoint(tmp_path, restore=False)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_a_checkpoint_that_cannot_be_read_now_is_not_deleted_as_damaged(
    tmp_path: Path,
    trained: Trainer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: int,
) -> None:
    older = save(tmp_path, trained, 5)
    newer = save(tmp_path, trained, 10)
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.parent == newer:
            raise OSError(code, os.strerror(code), str(path))
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        capsys.readouterr()
        save(tmp_path, trained, 15, keep=2)
        assert f"{os.strerror(code)}" in capsys.readouterr().err
        assert {older, newer} < set(tmp_path.iterdir())
        assert latest_checkpoint(tmp_path) == tmp_path / "step-00000015"
    loads(newer, 10)


# --- Damage.


def flip(path: Path, position: int, mask: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= mask
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 1.0])
def test_a_flipped_byte_is_noticed_and_the_older_checkpoint_chosen(
    tmp_path: Path, trained: Trainer, capsys: pytest.CaptureFixture[str], name: str, share: float
) -> None:
    older, newer = save(tmp_path, trained, 5), save(tmp_path, trained, 10)
    assert latest_checkpoint(tmp_path) == newer
    size = (newer / name).stat().st_size
    flip(newer / name, int((size - 1) * share))
    capsys.readouterr()
    assert latest_checkpoint(tmp_path) == older
    assert f"{newer}" in "".join(capsys.readouterr())
    flip(older / name, int((size - 1) * share))
    assert latest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_a_manifest_with_any_byte_flipped_is_noticed_or_says_the_same(
    tmp_path: Path, trained: Trainer, mask: int
) -> None:
    older, newer = save(tmp_path, trained, 5), save(tmp_path, trained, 10)
    path = newer / "manifest.json"
    content, said = path.read_bytes(), json.loads(path.read_text())
    for position in range(len(content)):
        flip(path, position, mask)
        chosen = latest_checkpoint(tmp_path)
        # Another step would silently go on with other images and another learning rate.
        assert chosen == older or json.loads(path.read_text()) == said, path.read_text()
        path.write_bytes(content)


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"step": 10}',
        '{"step": 10, "sha256": {}}',
        '{"step": 10, "sha256": []}',
        '{"step": 10, "sha256": null}',
    ],
)
def test_a_manifest_that_vouches_for_nothing_is_not_believed(
    tmp_path: Path, trained: Trainer, manifest: str
) -> None:
    older, newer = save(tmp_path, trained, 5), save(tmp_path, trained, 10)
    (newer / "manifest.json").write_text(manifest)
    assert latest_checkpoint(tmp_path) == older


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_a_missing_or_cut_file_is_noticed(
    tmp_path: Path, trained: Trainer, name: str, damage: str
) -> None:
    older, newer = save(tmp_path, trained, 5), save(tmp_path, trained, 10)
    path = newer / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    assert latest_checkpoint(tmp_path) == older


def test_a_damaged_checkpoint_does_not_push_out_the_one_just_written(
    tmp_path: Path, trained: Trainer
) -> None:
    newer = save(tmp_path, trained, 20)
    flip(newer / "state.safetensors", -1)
    # Resumed from before it, a run comes to an earlier step first.
    own = save(tmp_path, trained, 15, keep=1)
    assert latest_checkpoint(tmp_path) == own


def test_a_checkpoint_of_version_0_1_counts_steps_and_the_images_of_its_own_batches(
    tmp_path: Path, trained: Trainer
) -> None:
    path = save(tmp_path, trained, 5)
    tensors = load_file(path / "state.safetensors")
    assert tensors.pop("images") == 40
    save_file(tensors, path / "state.safetensors")
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["sha256"]["state.safetensors"] = files.sha256(path / "state.safetensors")
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert latest_checkpoint(tmp_path) == path
    other = make_trainer(tiny_recipe(training={"steps": 1, "batch": 4}), tiny_data())
    load_checkpoint(path, other.state)
    assert (other.state.step, other.state.images) == (5, 5 * RECIPE.training.batch)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / "nowhere") is None


def test_the_newest_step_counts_not_the_order_of_writing(tmp_path: Path, trained: Trainer) -> None:
    for step in (100, 7, 99_999_999):
        save(tmp_path, trained, step)
    assert latest_checkpoint(tmp_path) == tmp_path / "step-99999999"
    # One digit more than the name is padded to.
    assert latest_checkpoint(save(tmp_path, trained, 100_000_000).parent) == (
        tmp_path / "step-100000000"
    )


@pytest.mark.parametrize(
    "other",
    [{"net": {"width": 16}}, {"net": {"blocks": 2}}, {"net": {"name": "unet", "depth": 1}}],
    ids=str,
)
def test_a_checkpoint_of_another_network_is_refused_by_name(
    tmp_path: Path, trained: Trainer, other: dict[str, Any]
) -> None:
    path = save(tmp_path, trained, 5)
    wrong = make_trainer(tiny_recipe(**other), tiny_data())
    with pytest.raises(ValueError, match=rf"{path.name} does not fit this recipe's network"):
        load_checkpoint(path, wrong.state)


UMASKS = pytest.mark.parametrize(
    ("umask", "of_files", "of_folders"),
    [(0o022, "0o644", "0o755"), (0o077, "0o600", "0o700")],
    ids=["others may read", "nobody else may"],
)


@contextmanager
def masked(umask: int) -> Iterator[None]:
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)


def rights(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


@UMASKS
def test_who_may_read_a_checkpoint_is_as_the_umask_says(
    tmp_path: Path, trained: Trainer, umask: int, of_files: str, of_folders: str
) -> None:
    with masked(umask):
        path = save(tmp_path, trained, 5)
        again = save(tmp_path, trained, 5)  # in the place of another
    assert path == again
    modes = {file.name: rights(file) for file in path.iterdir()}
    assert modes == dict.fromkeys(
        ("model.safetensors", "state.safetensors", "manifest.json"), of_files
    )
    assert rights(path) == of_folders


def test_a_full_disk_during_training_is_an_error_and_the_run_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mezzotint.build.load_data", lambda section, split="train": tiny_data())
    recipe = tiny_recipe(training={"save_every": 3})
    with monkeypatch.context() as patch:
        fail_at(patch, weights, "save", 3)  # the state file at step 6
        with pytest.raises(OSError, match="No space left"):
            train(recipe, tmp_path / "run", log=lambda text: None)
    path = latest_checkpoint(tmp_path / "run" / "checkpoints")
    assert path is not None
    assert path.name == "step-00000003"
    train(recipe, resume=tmp_path / "run", log=lambda text: None)
    assert (tmp_path / "run" / "model.safetensors").is_file()


# --- Whole files and folders.


@UMASKS
def test_a_file_appears_whole_and_as_readable_as_the_umask_says(
    tmp_path: Path, umask: int, of_files: str, of_folders: str
) -> None:
    path = tmp_path / "new" / "file.txt"
    with masked(umask), whole_file(path) as temporary:
        assert rights(temporary) == of_files  # never more, not even for a moment
        temporary.write_text("new")
        assert temporary.suffix == ".txt"  # writers that look at names are not misled
        assert not path.exists()
    assert path.read_text() == "new"
    assert rights(path) == of_files
    assert rights(path.parent) == of_folders
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), ValueError(), KeyboardInterrupt()]
)
def test_an_error_keeps_the_old_file_and_leaves_no_litter(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(type(error)), whole_file(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize(("owner", "name"), [(files, "_sync"), (Path, "replace")])
def test_so_does_an_error_while_it_is_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full)
        with pytest.raises(OSError, match="No space left"), whole_file(path) as temporary:
            temporary.write_text("new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_appears_whole_and_gives_way_only_to_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    with whole_folder(path) as temporary:
        (temporary / "a").write_text("1")
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), whole_folder(path) as temporary:  # noqa: PT012
        (temporary / "a").write_text("2")
        raise ZeroDivisionError
    assert (path / "a").read_text() == "1"
    with whole_folder(path) as temporary:
        (temporary / "b").write_text("3")
    assert [p.name for p in path.iterdir()] == ["b"]
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_links_are_put_into_a_folder_as_links(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "folder") as temporary:
        (temporary / "nowhere").symlink_to(tmp_path / "missing")
    assert (tmp_path / "folder" / "nowhere").is_symlink()


# --- Weights files.


@pytest.fixture
def model(tmp_path: Path, trained: Trainer) -> Path:
    path = tmp_path / "model.safetensors"
    weights.write(path, trained.state.sampling_network.state_dict(), RECIPE, trained.spec)
    return path


def test_a_weights_file_gives_back_what_was_written(model: Path, trained: Trainer) -> None:
    tensors, recipe, spec = weights.read(model)
    assert (recipe, spec) == (RECIPE, trained.spec)
    own = trained.state.sampling_network.state_dict()
    assert tensors.keys() == own.keys()
    assert all(torch.equal(tensors[name], own[name]) for name in own)
    assert spec.shape == (1, 8, 8)


def test_any_memory_format_is_written_the_same(
    model: Path, tmp_path: Path, trained: Trainer
) -> None:
    own = trained.state.sampling_network.state_dict()
    assert any(not value.is_contiguous() for value in own.values())  # channels_last
    plain = {name: value.contiguous() for name, value in own.items()}
    weights.write(tmp_path / "plain.safetensors", plain, RECIPE, trained.spec)
    one, other = weights.read(model)[0], weights.read(tmp_path / "plain.safetensors")[0]
    assert all(torch.equal(one[name], other[name]) for name in plain)


def test_the_same_model_is_the_same_bytes(tmp_path: Path, trained: Trainer) -> None:
    # A digest of a file can only stand for a model if the file is a function of the model.
    own, contents = trained.state.sampling_network.state_dict(), set()
    for k in range(8):
        weights.write(tmp_path / f"{k}.safetensors", own, RECIPE, trained.spec)
        contents.add((tmp_path / f"{k}.safetensors").read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"garbage",
        b"\0" * 100,
        b"\xff" * 100,
        b"<html>404</html>" * 50,
        pickle.dumps({"model": 1}),
        b"\x10\0\0\0\0\0\0\0{}              ",
    ],
    ids=range(8),
)
def test_garbage_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "thing.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"thing\.safetensors"):
        weights.read(path)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_a_cut_file_is_refused_by_name(model: Path, share: float) -> None:
    content = model.read_bytes()
    model.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a whole safetensors file"):
        weights.read(model)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"recipe": "seed = 1"}], ids=str)
def test_a_foreign_safetensors_file_is_refused_by_name(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata)
    with pytest.raises(ValueError, match=r"foreign\.safetensors has no recipe .*mezzotint import"):
        weights.read(path)


IMAGES = '{"size": [8, 8], "channels": 1, "classes": []}'
NEWER = f"format = {FORMAT + 1}\nseed = 1"


@pytest.mark.parametrize(
    ("recipe", "images"),
    [
        ("seed = 1", "not JSON"),
        ("seed = 1", "{}"),
        ("seed = 1", "[]"),
        ("seed = 1", "null"),
        ("seed = 1", '{"size": 8, "channels": 1, "classes": []}'),
        ("seed = [", IMAGES),
        ("sede = 1", IMAGES),
        ("seed = -1", IMAGES),
        ('"', IMAGES),
        (NEWER, IMAGES),
        ("diffusion = 3", IMAGES),
        ("format = 2\n[distillation]\nstages = 3", IMAGES),
    ],
)
@pytest.mark.parametrize("format", weights.FORMATS)
def test_a_header_that_makes_no_sense_is_refused_by_name(
    tmp_path: Path, recipe: str, images: str, format: str
) -> None:
    path = tmp_path / "odd.safetensors"
    header = {"mezzotint": format, "recipe": recipe, "images": images}
    save_file({"weight": torch.zeros(2)}, path, header)
    with pytest.raises(ValueError, match=r"odd\.safetensors"):
        weights.read(path)


def test_a_file_of_a_later_format_is_refused_by_name(model: Path, trained: Trainer) -> None:
    header = {**weights.header(RECIPE, trained.spec), "mezzotint": "999"}
    weights.save(model, trained.state.sampling_network.state_dict(), header)
    with pytest.raises(ValueError, match=r"model\.safetensors.*999"):
        weights.read(model)


def test_an_error_while_writing_keeps_the_old_model(
    model: Path, trained: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = model.read_bytes()
    monkeypatch.setattr(weights, "save", full)
    with pytest.raises(OSError, match="No space left"):
        weights.write(model, {"weight": torch.ones(3)}, RECIPE, trained.spec)
    assert model.read_bytes() == before
    assert [p.name for p in model.parent.iterdir()] == [model.name]


def test_a_copied_checkpoint_is_as_good_as_the_first(tmp_path: Path, trained: Trainer) -> None:
    path = save(tmp_path / "a", trained, 5)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert latest_checkpoint(tmp_path / "b") == tmp_path / "b" / path.name
    assert sha256(path / "model.safetensors") == sha256(
        tmp_path / "b" / path.name / "model.safetensors"
    )
