"""The loss curve."""

from collections.abc import Sequence
from pathlib import Path


def save_loss_curve(path: Path, steps: Sequence[int], losses: Sequence[float], title: str) -> None:
    """A picture of the loss over the steps, with its running mean, on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    span = max(1, len(losses) // 20)
    recent = [losses[max(0, k - span) : k + 1] for k in range(len(losses))]
    means = [sum(window) / len(window) for window in recent]
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(steps, losses, color="#b9b3a9", linewidth=1, label="mean since the entry before")
    axes.plot(steps, means, color="#3a2e26", linewidth=1.8, label="running mean")
    axes.set(xlabel="step", ylabel="loss", title=title, yscale="log")
    axes.grid(which="both", alpha=0.2)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
