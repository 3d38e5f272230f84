"""The original's checkpoints, and that its sampler and ours are one."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mezzotint import build, classic, weights
from mezzotint.diffusion.denoiser import Clipped, NetworkDenoiser
from mezzotint.diffusion.parametrizations import eps
from mezzotint.export.original import import_original
from mezzotint.loading import load
from mezzotint.nets import UNet
from mezzotint.registry import SCHEDULES
from mezzotint.samplers import DDPM, make_grid

NET: dict[str, Any] = {"width": 8, "depth": 2, "embedding": 16}
DATA: dict[str, Any] = {"channels": 1, "num_classes": 10, "groups": 8}


def original(size: int = 32, **changes: Any) -> UNet:
    """A small network of the original's kind, with weights far from their start."""
    network = UNet(size=(size, size), **(DATA | NET | changes))
    source = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source), alpha=0.1)
    return network.eval()


def checkpoint(path: Path, network: nn.Module, prefix: str = "", **torch_save: Any) -> Path:
    """What the original's training script saves, its optimizer after a step included."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    optimizer.step()
    network.load_state_dict(before)
    content = {
        "model": {prefix + name: value for name, value in before.items()},
        "optimizer": optimizer.state_dict(),
        "epoch": 999,
        "batch_index": 937,
    }
    torch.save(content, path, **torch_save)
    return path


@pytest.mark.parametrize(
    ("size", "changes"),
    [
        (32, {}),
        (32, {"depth": 3}),
        (8, {"depth": 1, "width": 16}),
        (16, {"channels": 3, "num_classes": 7, "embedding": 32}),
    ],
    ids=str,
)
def test_an_imported_checkpoint_gives_the_same_outputs_bit_for_bit(
    tmp_path: Path, size: int, changes: dict[str, Any]
) -> None:
    network = original(size, **changes)
    out = tmp_path / "original.safetensors"
    import_original(checkpoint(tmp_path / "saved_model.pth", network), out, size)
    model = load(out, device="cpu")

    expected = DATA | NET | changes
    found = model.recipe.net
    assert (found.name, found.width) == ("unet", expected["width"])
    assert (found.depth, found.embedding) == (expected["depth"], expected["embedding"])  # type: ignore[union-attr]
    assert model.spec.shape == (expected["channels"], size, size)
    assert model.spec.classes == tuple(str(k) for k in range(expected["num_classes"]))
    assert model.recipe.data.size == size
    assert model.recipe.diffusion.schedule == "original-linear"
    assert model.recipe.diffusion.timesteps == 1000
    assert model.recipe.diffusion.parametrization == "eps"
    assert model.recipe.sampling.sampler == "ddpm"

    own, tensors = model.denoiser.network, weights.read(out)[0]
    assert tensors.keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(tensors[name], value), name
    # The same bits from a network laid out in memory in the same way.
    plain = build.make_network(model.recipe.net, model.spec).eval()
    plain.load_state_dict(tensors)
    x = torch.randn(3, *model.spec.shape, generator=torch.Generator().manual_seed(0))
    steps, labels = torch.tensor([1.0, 500.0, 1000.0]), torch.tensor([0, 3, 6])
    with torch.no_grad():
        assert torch.equal(plain(x, steps, labels), network(x, steps, labels))
        assert torch.equal(plain(x, steps), network(x, steps))
        torch.testing.assert_close(
            own(x, steps, labels), network(x, steps, labels), rtol=1e-4, atol=1e-4
        )


def test_names_of_a_distributed_wrapper_and_old_files_are_understood(tmp_path: Path) -> None:
    network = original(8, depth=1)
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    wrapped = checkpoint(tmp_path / "wrapped.pth", network, prefix="module.")
    import_original(wrapped, one, 8)
    old = checkpoint(tmp_path / "old.pth", network, _use_new_zipfile_serialization=False)
    import_original(old, two, 8)
    for path in (one, two):
        own = weights.read(path)[0]
        assert own.keys() == network.state_dict().keys()
        assert all(torch.equal(own[k], v) for k, v in network.state_dict().items())


# --- Refusals. Nothing is written then.


class Evil:
    """Unpickled the ordinary way, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def refused(folder: Path, checkpoint: Path, size: int = 8) -> str:
    """The message of the refusal of ``checkpoint``, which leaves ``folder`` as it was."""
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        import_original(checkpoint, folder / "out" / "out.safetensors", size)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert not (folder / "out").exists()
    return str(caught.value)


@pytest.mark.parametrize("place", ["model", "epoch", "whole"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_with_code_is_refused_without_running_it(
    tmp_path: Path, place: str, zipped: bool
) -> None:
    marker, path = tmp_path / "it-ran", tmp_path / "saved_model.pth"
    content: Any = {"model": original(8, depth=1).state_dict(), "epoch": 1}
    evil = Evil(marker)
    content = evil if place == "whole" else {**content, place: evil}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert "saved_model.pth" in refused(tmp_path, path)
    assert not marker.exists()
    # The trap is a real one.
    torch.load(path, weights_only=False)
    assert marker.exists()


def packed(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"garbage",
        b"hello world\n",
        b"<html>404</html>",
        b"\x89PNG\r\n\x1a\n" + b"0" * 50,
        b"\0" * 1000,
        pickle.dumps({"model": {}}, protocol=2),
        zipped(),
        packed(3),
        packed([torch.zeros(3)]),
        packed({"weights": torch.zeros(3)}),
        packed({"model": torch.zeros(3)}),
        packed({"model": {"weight": 3}}),
        packed({"model": {}}),
        packed({"model": {"fc.weight": torch.zeros(3, 3)}}),
        packed({"model": {"label_emb.weight": torch.zeros(10, 16)}}),
    ],
    ids=range(17),
)
def test_what_is_no_checkpoint_of_the_original_is_refused_by_name(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "thing.pth"
    path.write_bytes(content)
    assert "thing.pth" in refused(tmp_path, path)


def altered(path: Path, change: Any) -> Path:
    state = dict(original(8, depth=1).state_dict())
    change(state)
    torch.save({"model": state}, path)
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.pop("final_block.2.bias"),
        lambda s: s.pop("label_emb.weight"),
        lambda s: s.update({"extra.weight": torch.zeros(1)}),
        lambda s: s.update({"final_block.2.bias": torch.zeros(5)}),
        lambda s: s.update({"label_emb.weight": torch.zeros(10)}),
        lambda s: s.update({"label_emb.weight": torch.zeros(10, 15)}),
        lambda s: s.update({"downsample.0.block1.block1.proj.weight": torch.zeros(8)}),
        lambda s: s.update({"downsample.x.weight": torch.zeros(1)}),
        lambda s: s.update({"downsample.99.weight": torch.zeros(1)}),
    ],
    ids=["missing", "no labels", "extra", "shape", "1-d", "odd", "flat", "word", "deep"],
)
def test_a_network_that_is_not_the_originals_is_refused_by_name(
    tmp_path: Path, change: Any
) -> None:
    assert "odd.pth" in refused(tmp_path, altered(tmp_path / "odd.pth", change))


@pytest.mark.parametrize("size", [9, 0, 7])
def test_a_size_that_the_levels_cannot_halve_is_refused(tmp_path: Path, size: int) -> None:
    path = checkpoint(tmp_path / "saved_model.pth", original(8, depth=1))
    assert str(size) in refused(tmp_path, path, size)


def test_a_cut_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "saved_model.pth", original(8, depth=1))
    content = path.read_bytes()
    for share in (0.1, 0.5, 0.99):
        path.write_bytes(content[: int(len(content) * share)])
        assert "saved_model.pth" in refused(tmp_path, path)


def test_an_earlier_result_outlives_a_refusal(tmp_path: Path) -> None:
    out = tmp_path / "original.safetensors"
    import_original(checkpoint(tmp_path / "good.pth", original(8, depth=1)), out, 8)
    before = out.read_bytes()
    (tmp_path / "bad.pth").write_bytes(b"garbage")
    with pytest.raises(ValueError, match=r"bad\.pth"):
        import_original(tmp_path / "bad.pth", out, 8)
    assert out.read_bytes() == before


# --- Sampling: the original's way and ours.

SHAPE = (2, 1, 8, 8)
LABELS = torch.tensor([3, 7])


def moments(network: nn.Module, x: Tensor, grid: Tensor, noise: Any, clip: bool) -> list[Tensor]:
    """The states our sampler passes through, the start and the last one included."""
    denoiser: Any = NetworkDenoiser(network, SCHEDULES["original-linear"](1000), eps)
    with torch.no_grad():
        steps = DDPM()(Clipped(denoiser) if clip else denoiser, x, grid, LABELS, noise)
        return [step.x for step in steps]


@pytest.mark.parametrize("clip", [True, False])
def test_single_steps_are_those_of_the_original(
    monkeypatch: pytest.MonkeyPatch, clip: bool
) -> None:
    network = original(8, depth=1)
    source = torch.Generator().manual_seed(9)
    draws = [torch.randn(SHAPE, generator=source) for _ in range(6)]
    feed = iter(draws[1:])
    monkeypatch.setattr(torch, "randn_like", lambda x: next(feed))
    theirs = [draws[0]]
    for step in range(1000, 995, -1):
        t = torch.full((2,), step)
        theirs.append(classic.sample_p(network, theirs[-1], t, LABELS, clipping=clip))

    grid = torch.arange(1000, 994, -1, dtype=torch.float64) / 1000
    again = iter(draws[1:])
    ours = moments(network, draws[0], grid, lambda: next(again), clip)
    assert len(ours) == len(theirs) == 6
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    # The tolerance would notice a step more or less.
    assert (ours[-1] - ours[-2]).abs().max() > 1e-2


def test_sampling_agrees_to_the_end_except_for_the_noise_that_the_original_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count = 30  # the last ones; the first are compared above
    monkeypatch.setattr(classic, "num_timesteps", count + 1)
    network = original(8, depth=1)
    torch.manual_seed(0)
    theirs = classic.sampling(network, SHAPE, labels=LABELS, image_noise_steps_to_keep=count)
    torch.manual_seed(0)
    first = torch.randn(SHAPE)
    grid = torch.arange(count, -1, -1, dtype=torch.float64) / 1000
    ours = moments(network, first, grid, lambda: torch.randn(SHAPE), clip=True)[1:]
    assert len(ours) == len(theirs) == count
    for step, (a, b) in enumerate(zip(ours[:-1], theirs[:-1], strict=True)):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, msg=f"after step {step + 1}")
    # Its step 0 is not quite clean: noise of about 0.007 stays, less than a level of grey, 2 / 255.
    assert (ours[-1] - theirs[-1]).std().item() == pytest.approx(0.007, abs=0.002)
    # Ours ends on the predicted image itself.
    assert ours[-1].abs().max() <= 1


def test_the_default_grid_of_1000_steps_visits_the_originals_steps() -> None:
    grid = make_grid("linspace", SCHEDULES["original-linear"](1000), 1000) * 1000
    torch.testing.assert_close(grid, torch.arange(1000, -1, -1, dtype=torch.float64))
