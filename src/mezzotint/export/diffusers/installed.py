"""The pipeline where Mezzotint is installed: its classes are those of this package.

No code of the folder is run, so that ``trust_remote_code`` is not needed.
"""

from typing import Any

from . import network, pipeline, scheduler


class MezzotintPipeline(pipeline.MezzotintPipeline):
    """The pipeline of an exported folder.

    pipe = MezzotintPipeline.from_pretrained(FOLDER)
    """

    @classmethod
    def load_config(cls, pretrained_model_name_or_path: str) -> dict[str, Any]:
        """The folder's config, with the classes of this package in the place of those in its files.

        Args:
            pretrained_model_name_or_path: the folder.

        Returns:
            The content of ``model_index.json``, for ``from_pretrained``.
        """
        config: dict[str, Any] = super().load_config(pretrained_model_name_or_path)
        config["_class_name"] = cls.__name__
        config["unet"] = (network.__name__, network.MezzotintNetwork.__name__)
        name = scheduler.MezzotintScheduler.__name__
        if config["scheduler"][1] == name:  # and no scheduler of diffusers that took its place
            config["scheduler"] = (scheduler.__name__, name)
        return config
