"""Attacks on what the package promises: kills, faults of the disk, damaged and hostile files, planted faults.

Each module is one kind of attack and a command, ``python -m soak.kills --help`` (with ``tests`` on the path);
``make soak`` runs all of them and writes what they counted to docs/reliability.md. The tests run the same
attacks, fewer of them.
"""

import os

os.environ["MEZZOTINT_WITHOUT"] = "bf16"  # figures do not depend on a timing
