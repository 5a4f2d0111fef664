"""A correct program with threads, as a control for the tester itself: all are joined before it exits."""

import queue
import threading

from work_done import work_done

jobs: queue.Queue = queue.Queue()
results: queue.Queue = queue.Queue()


def work() -> None:
    while (number := jobs.get()) is not None:
        results.put(number * number)


threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(100):
    jobs.put(number)
for _ in threads:
    jobs.put(None)
for thread in threads:
    thread.join()
assert results.qsize() == 100
work_done()
