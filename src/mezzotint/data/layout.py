"""What a folder of pictures means, decided before any picture is decoded.

A folder has one folder of pictures for each class, or pictures alone, which have no classes. Folders with the
usual names of splits at its top, such as ``train`` and ``val``, are splits; otherwise one picture in ten is
kept for testing: which ones, a hash of class and name decides, so that a picture stays on its side whatever
is added or removed. What is left out is counted, with its reason.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from ..utils.console import printable
from .images import Split
from .left_out import HIDDEN, OTHER_SPLIT, LeftOut
from .listing import SPLITS, Listing, folders_in, list_classes, loose_pictures


@dataclass(frozen=True)
class Layout:
    """What a folder means: its two splits, and what is in neither."""

    train: Listing
    test: Listing
    own_splits: bool
    left_out: LeftOut

    def part(self, split: Split) -> Listing:
        """The pictures of a split."""
        return self.train if split == "train" else self.test


def read_layout(folder: Path) -> Layout:
    """What the pictures under ``folder`` are.

    Raises:
        FileNotFoundError: if there is no folder.
        PermissionError: if a folder may not be read.
        ValueError: if it holds no pictures, or it does not say which class some are of.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {printable(str(folder))}")
    left_out = LeftOut()
    splits = _splits(folder, left_out)
    below = folders_in(folder, LeftOut())
    if splits is None and len(below) == 1 and not loose_pictures(folder, LeftOut()):
        splits = _splits(below[0], left_out)  # all in one folder, as archives often are
    if splits is None:
        names, listing = list_classes(folder, left_out)
        listing = replace(listing, notes=_notes(left_out))
        return Layout(listing.part("train", names), listing.part("test", names), False, left_out)
    train_folder, test_folder = splits
    _, train = list_classes(train_folder, left_out)
    _, test = list_classes(test_folder, left_out, train.classes)
    return Layout(replace(train, notes=_notes(left_out)), test, True, left_out)


def _notes(left_out: LeftOut) -> tuple[str, ...]:
    """What is unusual, for whoever trains: what was left out and might have been meant."""
    return tuple(left_out.lines([reason for reason in left_out.counts if reason != HIDDEN]))


def _splits(folder: Path, left_out: LeftOut) -> tuple[Path, Path] | None:
    """The folders of training and test pictures, if that is what the folders at the top are."""
    below = folders_in(folder, LeftOut())
    places: dict[str, list[Path]] = {}
    for place in below:
        if (split := SPLITS.get(place.name.casefold())) is not None:
            places.setdefault(split, []).append(place)
    for split, folders in places.items():
        if len(folders) > 1 and (len(places) > 1 or len(folders) == len(below)):
            both = " and ".join(printable(place.name) for place in folders)
            raise ValueError(f"{printable(str(folder))}: {both} are both the {split} split")
    if below and sum(map(len, places.values())) == len(below) and len(places) == 1:
        name = printable(below[0].name)
        raise ValueError(
            f"{printable(str(folder))} holds {name} and nothing else: name that folder itself, and one"
            " picture in ten is kept for testing, or put both train and test there"
        )
    if "train" not in places or len(places) == 1:
        if len(places) == 2 and sum(map(len, places.values())) == len(below):
            names = ", ".join(printable(place.name) for place in below)
            raise ValueError(
                f"{printable(str(folder))} holds the splits {names}, but none to train on: name the folder"
                " itself that is to be trained on"
            )
        return None
    test = places.get("test") or places["val"]
    for place in below:
        if place not in (places["train"][0], test[0]):
            left_out.add(OTHER_SPLIT, place)
    for file in loose_pictures(folder, LeftOut()):
        left_out.add(OTHER_SPLIT, file)
    return places["train"][0], test[0]
