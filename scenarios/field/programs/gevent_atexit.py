"""An exit handler, registered before gevent patched the standard library, waits."""
import atexit
import time

atexit.register(lambda: time.sleep(0.01))
from gevent import monkey  # noqa: E402

monkey.patch_all()
import threading  # noqa: E402

thread = threading.Thread(target=lambda: time.sleep(0.01))
thread.start()
thread.join()
