"""Which images a step sees, and randomness as a function of its place."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from mezzotint.training.batches import balanced_rows, batch_indices, epoch_order
from mezzotint.utils.randomness import Stream, derived_seed, generator


def stream(seed: int, steps: int, batch: int, count: int) -> torch.Tensor:
    return torch.cat([batch_indices(seed, step * batch, batch, count) for step in range(steps)])


@pytest.mark.parametrize(("batch", "count"), [(8, 40), (8, 9), (7, 20), (1, 5), (5, 5), (64, 1000)])
def test_each_epoch_sees_each_image_once(batch: int, count: int) -> None:
    epochs = 4
    steps = -(-epochs * count // batch)
    seen = stream(3, steps, batch, count)
    assert len(seen) == steps * batch  # no batch is short
    for epoch in seen[: epochs * count].reshape(epochs, count):
        assert epoch.sort().values.tolist() == list(range(count))


@pytest.mark.parametrize(("batch", "count"), [(8, 3), (8, 1), (64, 10)])
def test_data_smaller_than_a_batch_are_gone_through_several_times(batch: int, count: int) -> None:
    for step in range(5):
        rows = batch_indices(0, step * batch, batch, count)
        assert len(rows) == batch
        times = rows.bincount(minlength=count)
        assert times.min() >= 1
        # Whole epochs, and a part of one at either end.
        assert times.max() - times.min() <= 2
    seen = stream(0, count, batch, count)
    assert seen.bincount().tolist() == [batch] * count


def test_epochs_are_shuffled_and_differ() -> None:
    orders = [epoch_order(0, epoch, 50).tolist() for epoch in range(4)]
    assert all(order != list(range(50)) for order in orders)
    assert all(a != b for a, b in pairwise(orders))


def test_a_batch_is_a_function_of_seed_and_place_alone() -> None:
    forwards = [batch_indices(5, 8 * step, 8, 20) for step in range(12)]
    # Backwards, with other data and other seeds in between, and torch's own state disturbed.
    for step in reversed(range(12)):
        torch.manual_seed(step)
        batch_indices(6, 8 * step, 8, 20)
        batch_indices(5, 8 * step, 8, 21)
        batch_indices(5, 8 * step, 7, 20)
        assert torch.equal(batch_indices(5, 8 * step, 8, 20), forwards[step])


@pytest.mark.parametrize("batches", [(8, 4), (4, 8), (1, 30, 7), (64, 3), (20, 20)], ids=str)
@pytest.mark.parametrize("count", [20, 23, 5])
def test_another_batch_size_on_the_way_neither_skips_nor_repeats_an_image(
    batches: tuple[int, ...], count: int
) -> None:
    seen, place = [], 0
    for batch in batches * (1 + 3 * count // sum(batches)):
        for _ in range(3):
            seen.append(batch_indices(2, place, batch, count))
            assert len(seen[-1]) == batch
            place += batch
    rows = torch.cat(seen)
    assert len(rows) >= 3 * count
    # The row of shuffled epochs is the same one, however it is cut.
    expected = torch.cat([epoch_order(2, epoch, count) for epoch in range(-(-place // count))])
    assert torch.equal(rows, expected[:place])
    for epoch in rows[: place // count * count].reshape(-1, count):
        assert epoch.sort().values.tolist() == list(range(count))


def test_drawing_a_batch_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    batch_indices(0, 0, 8, 20)
    assert torch.equal(torch.get_rng_state(), before)


def test_altering_a_batch_does_not_alter_the_next() -> None:
    first = batch_indices(9, 0, 8, 8)
    expected = first.clone()
    first.zero_()
    assert torch.equal(batch_indices(9, 0, 8, 8), expected)


def test_seeds_give_different_orders() -> None:
    orders = {tuple(epoch_order(seed, 0, 30).tolist()) for seed in range(100)}
    assert len(orders) == 100


def test_late_batches_are_as_quick_and_right_as_early_ones() -> None:
    start, count = 10**15, 60_000
    rows = batch_indices(0, start, 64, count)
    epoch, position = divmod(start, count)
    assert position + 64 < count
    assert torch.equal(rows, epoch_order(0, epoch, count)[position : position + 64])


# --- The generator of a place.


def draws(seed: int, *path: int) -> torch.Tensor:
    return torch.rand(1000, generator=generator(seed, *path), dtype=torch.float64)


def test_the_same_place_gives_the_same_numbers() -> None:
    assert torch.equal(draws(3, 1, 4), draws(3, 1, 4))
    assert torch.equal(draws(2**63 - 1, 1), draws(2**63 - 1, 1))


def test_neighbouring_places_are_independent() -> None:
    places = [(s, a, b) for s in (0, 1, 2**32, 2**63 - 1) for a in (0, 1, 2) for b in (1, 2, 3)]
    table = torch.stack([draws(*place) for place in places])
    correlation = torch.corrcoef(table) - torch.eye(len(places), dtype=torch.float64)
    # Of 630 pairs of 1000 draws none is beyond 5 standard deviations.
    assert correlation.abs().max() < 5 / 1000**0.5
    # Nor between their first numbers, which many small draws would use.
    firsts = torch.stack([draws(0, 1, step)[0] for step in range(2000)])
    assert abs(firsts.mean().item() - 0.5) < 5 * (1 / 12) ** 0.5 / 2000**0.5
    lagged = torch.corrcoef(torch.stack([firsts[1:], firsts[:-1]]))[0, 1]
    assert abs(lagged.item()) < 5 / 2000**0.5


def test_no_two_places_share_their_numbers() -> None:
    places = [
        (seed, *path)
        for seed in (0, 1, 2)
        for path in [(), (1,), (2,), (1, 1), (1, 2), (2, 1), (1, 1, 1)]
    ]
    assert len({draws(*place)[0].item() for place in places}) == len(places)


def test_a_place_and_the_first_place_within_it_differ() -> None:
    # Step 0 of a kind of randomness is another place than the kind itself, as image 0 of a seed is
    # another place than the seed.
    found = [draws(7, *path)[0].item() for path in [(), (0,), (0, 0), (0, 0, 0)]]
    assert len(set(found)) == len(found)


def test_large_seeds_do_not_run_into_the_paths_of_small_ones() -> None:
    # A seed of 64 bits is two words of 32: they must not read as a seed and a step.
    assert not torch.equal(draws(5 + 2**32 * 3, 4), draws(5, 3, 4))


def test_a_generator_leaves_the_global_one_alone() -> None:
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    draws(1, 2, 3)
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpys).all()  # noqa: NPY002


@pytest.mark.parametrize("seed", [2**70, 2**63, -1, True, False, 1.5, 1.0, None, "1"])
def test_impossible_seeds_are_refused_naming_value_and_range(seed: Any) -> None:
    with pytest.raises(ValueError, match=r"0 to 2\*\*63 - 1") as caught:
        generator(seed)
    assert repr(seed) in str(caught.value)


def test_derived_seeds_have_64_bits_and_are_those_of_the_generators() -> None:
    seeds = [derived_seed(3, Stream.DRAWS, step) for step in range(1000)]
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert max(seeds) > 2**63  # the upper half is reached
    assert torch.equal(
        torch.rand(5, generator=torch.Generator().manual_seed(seeds[7])),
        torch.rand(5, generator=generator(3, Stream.DRAWS, 7)),
    )


# --- Balance.


@pytest.mark.parametrize("counts", [(7, 2, 3), (5,), (4, 0, 1), (6, 6)], ids=str)
def test_balanced_epochs_show_every_class_as_often_and_every_image_evenly(
    counts: tuple[int, ...],
) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    rows = balanced_rows(labels)
    most = max(counts)
    shown = labels[rows].bincount(minlength=len(counts)).tolist()
    assert shown == [most if count else 0 for count in counts]
    times = rows.bincount(minlength=len(labels))
    for number, count in enumerate(counts):
        if count:
            own = times[labels == number]
            assert own.min() == most // count
            assert own.max() == -(-most // count)


def test_a_balanced_epoch_of_batches_is_balanced() -> None:
    labels = torch.tensor([0] * 12 + [1] * 4)
    rows = balanced_rows(labels)
    seen = torch.cat([rows[batch_indices(0, 8 * step, 8, len(rows))] for step in range(3)])
    assert labels[seen].bincount().tolist() == [12, 12]
