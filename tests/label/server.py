"""MONAI Label's server as a subprocess, and requests as its clients send them."""

from __future__ import annotations

import email
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("monailabel", reason="has an environment of its own: make test-label")
requests = pytest.importorskip("requests")

# loaded by every Python that the server starts: notes where anything but this machine is asked for
GUARD = """
import os, socket
def guarded(name):
    original = getattr(socket.socket, name)
    def connect(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "localhost", "::1"):
            with open(os.environ["OUTSIDE"], "a") as file:
                file.write(f"{address}\\n")
        return original(self, address)
    setattr(socket.socket, name, connect)
for name in ("connect", "connect_ex"):
    guarded(name)
"""
VIEWERS = {"result_extension": ".nrrd", "result_dtype": "uint8", "result_compress": False}  # 3D Slicer's and OHIF's


class Server:
    """A server that was started by ``command`` (without host and port) and answers; stopped by its process id."""

    def __init__(self, folder: Path, *command: str, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.outside = folder / "outside.txt"
        (folder / "guard").mkdir(exist_ok=True)
        (folder / "guard" / "sitecustomize.py").write_text(GUARD)
        paths = [str(folder / "guard"), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment |= {"OMP_NUM_THREADS": "1", "OUTSIDE": str(self.outside), "PYTHONPATH": os.pathsep.join(paths)}
        environment |= {"MONAI_LABEL_SESSION_PATH": str(folder / "sessions")}
        self.log = (folder / "server.log").open("a")
        self.process = subprocess.Popen(
            [sys.executable, *command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.wait_until(self._answers, 180)

    def _answers(self) -> bool:
        assert self.process.poll() is None, Path(self.log.name).read_text()[-3000:]
        try:
            return requests.get(f"{self.url}/info/", timeout=60).ok
        except requests.ConnectionError:
            return False

    @staticmethod
    def wait_until(done: object, seconds: float) -> None:
        limit = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < limit, "no answer in time"
            time.sleep(0.5)

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(timeout=60) in (0, -15)
        self.log.close()

    def get(self, route: str, **params: object) -> requests.Response:
        return requests.get(f"{self.url}/{route}", params=params, timeout=120)

    def post(self, route: str, settings: dict | None = None, **params: object) -> requests.Response:
        return requests.post(f"{self.url}/{route}", params=params, json=settings or {}, timeout=120)

    def delete(self, route: str) -> requests.Response:
        return requests.delete(f"{self.url}/{route}", timeout=120)

    def open_session(self, image: Path) -> str:
        with image.open("rb") as file:
            answer = requests.put(f"{self.url}/session/", files={"files": file}, timeout=60)
        return answer.json()["session_id"]

    def save_label(self, image: str, label: Path) -> requests.Response:
        with label.open("rb") as file:
            where = {"image": image, "tag": "final"}
            return requests.put(f"{self.url}/datastore/label", params=where, files={"label": file}, timeout=60)

    def ask(self, model: str, image: str = "", upload: Path | None = None, **settings: object) -> requests.Response:
        files = {"file": (upload.name, upload.read_bytes())} if upload else None
        where = {"image": image} if image else {}
        data = {"params": json.dumps(settings)}
        return requests.post(f"{self.url}/infer/{model}", params=where, data=data, files=files, timeout=300)

    def infer(self, folder: Path, model: str, image: str = "", **settings: object) -> tuple[Path, dict]:
        """The file (in ``folder``) and the JSON of an answer."""
        answer = self.ask(model, image, **settings)
        assert answer.status_code == 200, answer.text
        head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
        result, path = None, None
        for part in email.message_from_bytes(head + answer.content).get_payload():
            if part.get_filename():
                path = folder / part.get_filename()
                path.write_bytes(part.get_payload(decode=True))
            else:
                result = json.loads(part.get_payload(decode=True))
        return path, result

    def background(self, task: str) -> dict:
        """The last background ``task`` ("scoring", "train", "batch/infer"), when it has ended."""
        self.wait_until(lambda: self.get(task).json()["status"] not in ("SUBMITTED", "RUNNING"), 600)
        return self.get(task).json()
