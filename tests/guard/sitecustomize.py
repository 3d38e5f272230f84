"""Notes what a process reaches and writes, in the file that GUARD names. Python imports this itself."""

import json
import os
import sys

REACHING = {
    "socket.connect": 1,
    "socket.sendto": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
}
"""Events, and the place of the address among their arguments."""
WRITING = ("os.mkdir", "os.rename", "os.link", "os.symlink", "shutil.copyfile")


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event in REACHING:
        words = ["reach", str(arguments[REACHING[event]])]
    elif event in WRITING:
        words = ["write", str(arguments[1] if event == "os.rename" else arguments[0])]
    elif event == "open" and int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR):
        words = ["write", str(arguments[0])]
    else:
        return
    os.write(_log, (json.dumps(words) + "\n").encode())


if "GUARD" in os.environ:
    _log = os.open(os.environ["GUARD"], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    sys.addaudithook(_note)
