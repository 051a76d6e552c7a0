"""Start MONAI Label's server with the bundle: ``python -m monai_vqoasis.label --studies <folder>``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from monai_vqoasis.configuration import short_errors
from monai_vqoasis.errors import InputError, require
from monai_vqoasis.label.weights import AppBundle

MAIN = '''"""Where MONAI Label looks for an app: monailabel start_server --app <this folder> --studies <folder>"""

from monai_vqoasis.label.app import SliceApp
'''
LOOPBACK = ("127.0.0.1", "localhost")


def lay_out(app_dir: Path, bundle: Path) -> None:
    """Make ``app_dir`` an app as MONAI Label expects it: a ``main.py``, and its own copy of ``bundle``.

    Raises:
        InputError: if ``bundle`` lacks something, or the folder is another app's.
    """
    main = app_dir / "main.py"
    if main.is_file() and "monai_vqoasis" not in main.read_text():
        raise InputError(f"{app_dir}: is another app; name a folder of its own with --app_dir.")
    AppBundle(app_dir).copy_from(bundle)
    main.write_text(MAIN)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("python -m monai_vqoasis.label", description="The bundle in MONAI Label.")
    parser.add_argument("--studies", type=Path, required=True, help="folder of slices or volumes; labels go there too")
    parser.add_argument("--bundle", type=Path, default=Path("bundle"), help="configs, and the weights to begin with")
    parser.add_argument("--app_dir", type=Path, default=Path("label_app"), help="folder of the app, with its weights")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, default=8000, help="port to listen at")
    options = parser.parse_args(arguments)
    short_errors()
    require("label", "monailabel", "torchvision")
    if not options.studies.is_dir():
        raise InputError(f"{options.studies}: no such folder; studies must hold slices or volumes.")
    if options.host not in LOOPBACK:
        print(
            f"warning: at {options.host} whoever reaches this machine can read, label and train; MONAI Label asks for "
            "no password.",
            file=sys.stderr,
        )
    lay_out(options.app_dir, options.bundle)
    from monailabel.main import Main

    server = Main()
    where = ["--app", str(options.app_dir), "--studies", str(options.studies)]
    at = ["--host", options.host, "--port", str(options.port), "--uvicorn_app", "monai_vqoasis.label.server:app"]
    server.action_start_server(server.args_parser().parse_args(["start_server", *where, *at]))


if __name__ == "__main__":
    main()
