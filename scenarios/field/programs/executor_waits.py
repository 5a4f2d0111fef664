# An executor's thread waits for what nobody sets; the interpreter joins it before it ends.
import threading
from concurrent.futures import ThreadPoolExecutor

ThreadPoolExecutor().submit(threading.Event().wait)
