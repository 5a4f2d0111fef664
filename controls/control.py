"""python control.py MODE: does what the mode says, and then falls off its end."""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / ".cache" / "controls"))

import control_pyo3  # noqa: E402

getattr(control_pyo3, sys.argv[1].replace("-", "_"))()
time.sleep(0.03)
if "QUIESCE_DONE_FD" in os.environ:
    os.write(int(os.environ["QUIESCE_DONE_FD"]), b"done\n")
