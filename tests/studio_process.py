"""A studio in a process of its own, and a visitor who speaks to it as its page does."""

import base64
import json
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import requests

from machines import COMMAND, environment, guard, notes

JOBS = {"generate": 0, "opinions": 1, "film": 2}
PATIENCE = 120
"""Seconds until a test gives up; on a busy machine, everything is slow."""

GOOD = {
    "task": "generate",
    "model": "digits-fast",
    "labels": [3],
    "count": 1,
    "seed": "0",
    "steps": 2,
    "sampler": "consistency",
    "guidance": 1,
}
"""A request that is answered at once."""

LONG = {**GOOD, "model": "digits", "count": 100, "steps": 100, "sampler": "heun"}
"""A request that takes many seconds."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Studio:
    """A studio that listens.

    Args:
        folder: to run in, and for what it notes.
        arguments: of ``mezzotint studio``.
        port: to listen on; None for a free one.
    """

    def __init__(self, folder: Path, *arguments: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        self.noted = folder / "noted.jsonl"
        self.temporary = folder / "gradio"
        self.output = folder / "output.txt"
        guarded = environment(folder, **guard(self.noted), GRADIO_TEMP_DIR=str(self.temporary))
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [*COMMAND, "studio", "--no-browser", "--port", str(self.port), *arguments],
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=guarded,
            )
        self._wait()
        self.noted_at_start = len(self.noted.read_text().splitlines())

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while self.address not in self.output.read_text():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise AssertionError(self.output.read_text())
            time.sleep(0.05)

    def stop(self) -> int:
        """Press Ctrl-C, and wait for the end; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def notes(self, kind: str, since: int = 0) -> list[str]:
        """What the process has reached, or written."""
        return notes(self.noted, kind, since)

    def join(self, job: str, request: Any) -> tuple[int, str]:
        """Queue a job, given as an object or as a text; the status, and the session."""
        session = uuid.uuid4().hex
        content = {
            "data": [request if isinstance(request, str) else json.dumps(request)],
            "fn_index": JOBS[job],
            "session_hash": session,
            "simple_format": True,
        }
        place = f"{self.address}gradio_api/queue/join"
        return requests.post(place, json=content, timeout=PATIENCE).status_code, session

    @contextmanager
    def events(self, session: str) -> Iterator[Iterator[dict[str, Any]]]:
        """The events of a session; at the end of the block, the connection is closed."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", f"/gradio_api/queue/data?session_hash={session}")
        answer = connection.getresponse()
        try:
            yield (json.loads(line[6:]) for line in answer if line.startswith(b"data: "))
        finally:
            answer.close()
            connection.close()

    def ask(self, job: str, request: Any) -> dict[str, Any]:
        """The answer to a job: its result, or ``{"error": words}``."""
        status, session = self.join(job, request)
        assert status == 200, status
        return self.answer(session)

    def answer(self, session: str) -> dict[str, Any]:
        """The answer to a job that was queued."""
        with self.events(session) as events:
            for event in events:
                if event["msg"] == "process_generating":
                    part: dict[str, Any] = json.loads(event["output"]["data"][0])
                    if "progress" not in part:
                        return part
                elif event["msg"] == "process_completed" and not event["success"]:
                    return {"error": event["output"]["error"]}
        raise AssertionError("there was no answer")


def text(content: bytes) -> str:
    """Bytes as a request has them."""
    return base64.b64encode(content).decode()
