"""Loads one of the example addons (examples/addons), and knows where its server is."""

import importlib
import os
import sys
from types import ModuleType

PORT = int(os.environ["ADDON_SERVER_PORT"])


def load(name: str) -> ModuleType:
    """The addon of that name, as `npm run cure` built it."""
    sys.path.insert(0, os.environ["ADDONS"])
    return importlib.import_module(name)
