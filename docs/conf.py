"""Sphinx settings."""

import dataclasses

project = "Mezzotint"
author = copyright = "The Mezzotint authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "Mezzotint"
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
napoleon_numpy_docstring = False
autodoc_typehints = "description"
autodoc_member_order = "bysource"
# Names that a signature would otherwise spell out as jaxtyping shapes, once for each argument.
autodoc_type_aliases = {"Images": "Images", "Coefficient": "Coefficient"}


def explain_keys(app, what, name, thing, options, lines):
    """Say what each key of a recipe's section means: its explanation stands in the field, for ``--help``."""
    if what != "class" or not dataclasses.is_dataclass(thing):
        return
    for field in dataclasses.fields(thing):
        if not (words := field.metadata.get("help")):
            continue
        choices = field.metadata.get("choices")
        known = f"; one of {', '.join(choices)}" if choices else ""
        default = "" if field.default is None else f"; {field.default!r} if not given"
        lines.append(f":param {field.name}: {words}{known}{default}.")


def setup(app):
    """Connect what Sphinx asks."""
    app.connect("autodoc-process-docstring", explain_keys)
