"""MONAI Label's own server; pages of others that a browser shows may not read its answers, as they else may."""

from importlib import import_module

from monailabel.config import settings

# read when monailabel.app is imported; in the environment it would stop MONAI Label from starting (0.8.5)
settings.MONAI_LABEL_CORS_ORIGINS = settings.MONAI_LABEL_CORS_ORIGINS or [
    f"http://127.0.0.1:{settings.MONAI_LABEL_SERVER_PORT}"
]
app = import_module("monailabel.app").app
