"""Daemon threads that call into a native module again and again, which releases the GIL, while the program ends: LINE, of Python, sets up; EXPRESSION is called."""
import sys
import threading
import time

line, expression = sys.argv[1:]
scope = {}
exec(line, scope)
code = compile(expression, "expression", "eval")


def work():
    while True:
        eval(code, scope)


# What takes the interpreter a while to tear down, as in the report of rust-lang/rust#135929.
cycle = start = []
for _ in range(200_000):
    cycle = [cycle]
start.append(cycle)
for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
