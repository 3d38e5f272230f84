"""``python -m mezzotint``, the same as the ``mezzotint`` command."""

from .cli import main

main()
