"""Daemon threads that used greenlets end while the interpreter does."""
import threading
import time

import greenlet


def work():
    greenlet.greenlet(lambda: None).switch()
    while True:
        time.sleep(0.0001)


cycle = start = []
for _ in range(200_000):
    cycle = [cycle]
start.append(cycle)
for _ in range(8):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
