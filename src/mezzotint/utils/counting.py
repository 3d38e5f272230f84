"""What a computation takes, counted while it runs: arithmetic, and memory for the backward pass."""

import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

Shape = tuple[int, ...]


def _attention(q: Shape, k: Shape, v: Shape, *_: object, **__: object) -> int:
    """Operations of attention, from the shapes of queries, keys and values."""
    return sdpa_flop_count(q, k, v)


def _attention_backward(
    gradient: Shape, q: Shape, k: Shape, v: Shape, *_: object, **__: object
) -> int:
    """Operations of its backward pass."""
    return sdpa_backward_flop_count(gradient, q, k, v)


_FOR_CPU = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
"""Attention on CPUs, which torch's counter does not know. Without it, it would count as nothing."""


@dataclass
class Count:
    """What was counted, once the block has ended.

    Args:
        multiply_adds: of matrix products, convolutions and attention.
        activations: bytes that were kept for the backward pass at once, at most.
    """

    multiply_adds: int = 0
    activations: int = 0


@contextmanager
def counted(weights: Iterable[Tensor] = ()) -> Iterator[Count]:
    """Count what the block computes and what it keeps for the backward pass.

    Args:
        weights: tensors that are there anyway, and are no activations.

    Yields:
        The counts, which are complete when the block has ended.
    """
    count = Count()
    saved = _Kept(weights)
    hooks = torch.autograd.graph.saved_tensors_hooks(saved.pack, _unpack)
    with FlopCounterMode(display=False, custom_mapping=_FOR_CPU) as counter, hooks:
        yield count
    count.multiply_adds = int(counter.get_total_flops() // 2)
    count.activations = saved.most


class _Saved:
    """A tensor that is kept for the backward pass, which drops it afterwards."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def _unpack(saved: _Saved) -> Tensor:
    return saved.tensor


class _Kept:
    """Adds up the memory of tensors that are kept; several can share theirs."""

    def __init__(self, weights: Iterable[Tensor]) -> None:
        self.most = 0
        self._now = 0
        self._uses: Counter[int] = Counter()
        self._excluded = {weight.untyped_storage().data_ptr() for weight in weights}

    def pack(self, tensor: Tensor) -> _Saved:
        saved = _Saved(tensor)
        storage = tensor.untyped_storage()
        place = storage.data_ptr()
        if place not in self._excluded:
            if not self._uses[place]:
                self._now += storage.nbytes()
                self.most = max(self.most, self._now)
            self._uses[place] += 1
            weakref.finalize(saved, self._drop, place, storage.nbytes())
        return saved

    def _drop(self, place: int, size: int) -> None:
        self._uses[place] -= 1
        if not self._uses[place]:
            self._now -= size
