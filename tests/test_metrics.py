"""Measures against closed forms, constructed sets and an independent implementation."""

import math

import pytest
import torch

from mezzotint.evaluation.classification import accuracy, confusion_matrix, inception_score
from mezzotint.evaluation.distances import distances
from mezzotint.evaluation.frechet import Moments, frechet_distance, merge, moments
from mezzotint.evaluation.kid import kernel_distance
from mezzotint.evaluation.memorization import Neighbours, nearest
from mezzotint.evaluation.precision_recall import precision_recall_density_coverage
from mezzotint.evaluation.requirements import TooFewImages


def features(count: int, width: int = 8, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=source) + shift


def test_frechet_distance_of_two_gaussians_is_the_closed_form() -> None:
    eye = torch.eye(4, dtype=torch.float64)
    a = Moments(1000, torch.zeros(4).double(), eye)
    b = Moments(1000, torch.ones(4).double(), 4 * eye)
    # |1|^2 = 4 and, in each of 4 dimensions, (2 - 1)^2.
    assert frechet_distance(a, b) == pytest.approx(8.0, abs=1e-9)


def test_frechet_distance_of_covariances_that_do_not_commute() -> None:
    x, y = (
        features(4000, seed=1) @ features(8, seed=2),
        features(4000, seed=3) @ features(8, seed=4),
    )
    a, b = moments(x), moments(y)
    # The trace of the root of a product, by its eigenvalues: another route to the same number.
    cross = torch.linalg.eigvals(a.covariance @ b.covariance).real.clamp(min=0).sqrt().sum()
    want = (
        (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * cross
    )
    assert frechet_distance(a, b) == pytest.approx(want.item(), rel=1e-8)


def test_frechet_distance_of_a_set_to_itself_is_nearly_zero_and_never_negative() -> None:
    a = moments(features(500))
    assert 0 <= frechet_distance(a, a) < 1e-3


def test_fewer_images_than_features_give_a_finite_distance_and_a_warning() -> None:
    with pytest.warns(UserWarning, match="5 images for 8 features"):
        distance = frechet_distance(moments(features(5)), moments(features(100, seed=1)))
    assert math.isfinite(distance)
    assert distance >= 0


def test_as_many_images_as_features_are_too_few_as_well() -> None:
    """A covariance of n images has rank n - 1."""
    with pytest.warns(UserWarning, match="8 images for 8 features"):
        frechet_distance(moments(features(8)), moments(features(100)))
    assert math.isfinite(frechet_distance(moments(features(9)), moments(features(100))))


def test_merged_moments_are_those_of_all_images_at_once() -> None:
    x = features(21)
    whole = moments(x)
    for parts in (2, 4):
        pieces = [moments(part) for part in x.tensor_split(parts)]
        merged = pieces[0]
        for piece in pieces[1:]:
            merged = merge(merged, piece)
        assert merged.count == 21
        torch.testing.assert_close(merged.mean, whole.mean, rtol=0, atol=1e-10)
        torch.testing.assert_close(merged.covariance, whole.covariance, rtol=0, atol=1e-10)


def test_kernel_distance_is_the_sum_over_all_pairs() -> None:
    x, y = features(30, seed=1), features(20, seed=2, shift=0.5)

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a.double() @ b.double() / 8 + 1) ** 3)

    xx = sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / (30 * 29)
    yy = sum(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / (20 * 19)
    xy = sum(k(a, b) for a in x for b in y) / (30 * 20)
    assert kernel_distance(x, y) == pytest.approx(xx + yy - 2 * xy, rel=1e-4)


def test_kernel_distance_agrees_with_an_independent_implementation() -> None:
    functional = pytest.importorskip("torchmetrics.image.kid")
    x, y = features(200, seed=1), features(200, seed=2, shift=0.3)
    theirs = functional.poly_mmd(x, y, degree=3, gamma=None, coef=1.0)
    assert kernel_distance(x, y) == pytest.approx(theirs.item(), rel=1e-3)


def test_frechet_distance_agrees_with_an_independent_implementation() -> None:
    fid = pytest.importorskip("torchmetrics.image.fid")
    a, b = moments(features(300, seed=1)), moments(features(300, seed=2, shift=0.3))
    theirs = fid._compute_fid(a.mean, a.covariance, b.mean, b.covariance)
    assert frechet_distance(a, b) == pytest.approx(theirs.item(), rel=1e-6)


def test_inception_score_of_ten_sure_classes_is_ten_in_any_order() -> None:
    logits = 100 * torch.eye(10).repeat(7, 1)
    order = torch.randperm(70, generator=torch.Generator().manual_seed(0))
    assert inception_score(logits) == pytest.approx(10.0, rel=1e-6)
    assert inception_score(logits[order]) == pytest.approx(10.0, rel=1e-6)


def test_inception_score_of_one_class_or_of_no_opinion_is_one() -> None:
    assert inception_score(100 * torch.eye(10)[:1].repeat(5, 1)) == pytest.approx(1.0)
    assert inception_score(torch.zeros(5, 10)) == pytest.approx(1.0)


def test_precision_and_recall_of_the_same_set_are_one() -> None:
    x = features(60)
    found = precision_recall_density_coverage(x, x.clone())
    assert found["precision"] == found["recall"] == found["coverage"] == 1.0


def test_precision_is_lost_outside_and_recall_by_dropping_a_mode() -> None:
    near, far = features(50, seed=1), features(50, seed=2, shift=100.0)
    dropped = precision_recall_density_coverage(torch.cat([near, far]), near + 1e-3)
    assert dropped["precision"] == 1.0
    assert dropped["recall"] == pytest.approx(0.5)
    assert dropped["coverage"] == pytest.approx(0.5)
    invented = precision_recall_density_coverage(near, torch.cat([near + 1e-3, far]))
    assert invented["precision"] == pytest.approx(0.5)
    assert invented["recall"] == 1.0


@pytest.mark.parametrize(("k", "chunk"), [(1, 7), (3, 1000), (5, 16)])
def test_precision_recall_density_and_coverage_follow_their_definitions(k: int, chunk: int) -> None:
    # On a lattice many points lie on the border of a ball, which belongs to it.
    real = features(40, width=3, seed=1).mul(2).round().tolist()
    generated = features(30, width=3, seed=2, shift=1.2).mul(2).round().tolist()

    def radii(points: list[list[float]]) -> list[float]:
        # The nearest point is the point itself.
        return [sorted(math.dist(point, other) for other in points)[k] for point in points]

    real_radii = radii(real)
    generated_radii = radii(generated)
    in_real = [
        [math.dist(x, y) <= radius for y in generated]
        for x, radius in zip(real, real_radii, strict=True)
    ]
    in_generated = [
        [math.dist(x, y) <= radius for y, radius in zip(generated, generated_radii, strict=True)]
        for x in real
    ]
    scores = precision_recall_density_coverage(
        torch.tensor(real), torch.tensor(generated), k, chunk
    )
    assert scores == pytest.approx(
        {
            "precision": sum(map(any, zip(*in_real, strict=True))) / 30,
            "recall": sum(map(any, in_generated)) / 40,
            "density": sum(map(sum, in_real)) / (k * 30),
            "coverage": sum(map(any, in_real)) / 40,
        }
    )
    assert 0 < scores["precision"] < 1


def test_accuracy_and_confusion_count_what_is_seen() -> None:
    logits = torch.eye(3)[[0, 1, 2, 2]]
    labels = torch.tensor([0, 1, 2, 0])
    assert accuracy(logits, labels) == 0.75
    assert accuracy(logits[:1], labels[:1]) == 1
    assert confusion_matrix(logits, labels).tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 1]]


def test_a_confusion_matrix_has_a_row_for_each_class_also_for_those_that_nobody_sees() -> None:
    logits = torch.eye(4)[[0, 0]]
    confusion = confusion_matrix(logits, torch.tensor([0, 1]))
    assert confusion.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0] * 4, [0] * 4]


def test_shuffled_labels_bring_accuracy_to_chance() -> None:
    labels = torch.arange(10).repeat(500)
    logits = torch.eye(10)[labels]
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(0))
    assert accuracy(logits, labels) == 1.0
    assert accuracy(logits, labels[order]) == pytest.approx(0.1, abs=0.02)


def test_nearest_finds_the_copied_image_and_measures_in_levels_of_grey() -> None:
    source = torch.Generator().manual_seed(0)
    training = torch.randint(0, 250, (50, 1, 6, 6), generator=source).to(torch.uint8)
    found = nearest(training[[7, 0, 49]] + torch.tensor(4, dtype=torch.uint8), training)
    assert found.index.tolist() == [7, 0, 49]
    torch.testing.assert_close(found.distance, torch.full((3,), 4.0), rtol=1e-3, atol=0)


def test_the_first_of_equally_near_training_images_is_named() -> None:
    """They are compared in parts of 10,000."""
    training = torch.zeros(10_600, 1, 2, 2, dtype=torch.uint8)
    image = torch.full((1, 1, 2, 2), 90, dtype=torch.uint8)
    training[[3, 7, 10_500]] = image
    assert nearest(image, training).index.tolist() == [3]
    training[[3, 7]] = 0
    assert nearest(image, training).index.tolist() == [10_500]


def test_equal_points_far_from_the_origin_are_at_distance_0() -> None:
    points = features(300, width=64) + 1000
    between = distances(points, points)
    assert between.diagonal().eq(0).all()
    others = between[~torch.eye(300, dtype=torch.bool)]
    assert others.min() > 1


@pytest.mark.parametrize("pixels", [10_000, 32_400, 40_000, 44_300, 48_400])
def test_distances_of_large_images_do_not_overflow(pixels: int) -> None:
    """From 33,026 pixels on, squares of the largest differences add up to more than 2^31."""
    black = torch.zeros(1, 1, 1, pixels, dtype=torch.uint8)
    neighbours = nearest(black, torch.full_like(black, 255))
    assert neighbours.distance.tolist() == [255.0]


def test_distances_to_neighbours_are_summed_up_by_their_quantiles() -> None:
    order = torch.randperm(101, generator=torch.Generator().manual_seed(0))
    summary = Neighbours(order + 3.0, order).summary()
    assert summary == pytest.approx({"median": 53, "percentile_1": 4, "minimum": 3})


def test_nearest_refuses_another_size() -> None:
    images = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"\(1, 4, 4\).*\(1, 5, 5\)"):
        nearest(images, torch.zeros(2, 1, 5, 5, dtype=torch.uint8))


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_are_refused_naming_the_minimum(count: int) -> None:
    few = features(10)[:count]
    with pytest.raises(TooFewImages, match="at least 2"):
        moments(few)
    with pytest.raises(TooFewImages, match="at least 2"):
        kernel_distance(few, features(10))
    with pytest.raises(TooFewImages, match="at least 2"):
        inception_score(few)
    with pytest.raises(TooFewImages, match="at least 6"):
        precision_recall_density_coverage(features(10), few)
    with pytest.raises(TooFewImages, match="at least 1"):
        accuracy(torch.zeros(0, 10), torch.zeros(0, dtype=torch.int64))


def test_features_that_are_not_numbers_are_refused() -> None:
    bad = features(10)
    bad[3, 2] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinite"):
        moments(bad)
