"""usage: buffered_busy.py stdout|stderr: daemon threads write while the interpreter flushes the same file."""
import sys
import threading
import time

file = open("/dev/null", "w") if len(sys.argv) < 2 else getattr(sys, sys.argv[1])
buffer = file.buffer


def work():
    while True:
        buffer.write(b"x" * 100)
        buffer.flush()


for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
