"""The studio as a Hugging Face Space: `make space` puts the package beside this file.

On a Space the page is open to everyone; elsewhere it is for this computer alone.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))

from mezzotint.studio.server import launch, make_server
from mezzotint.studio.shelf import Shelf, find_offers

if __name__ == "__main__":
    host = "0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1"
    server = make_server(Shelf(find_offers([], None), "cpu"))
    print(
        launch(server, host, int(os.environ.get("GRADIO_SERVER_PORT", "7860")), browser=False),
        flush=True,
    )
    server.get_blocks().block_thread()
