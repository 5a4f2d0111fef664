import signal
import threading
import time

from bridge import TestCase, addon, at_rest, eventually


class Blocking(TestCase):
    def test_it_waits_without_the_gil(self):
        # On a busy machine this thread may have no CPU for a while.
        for seconds in (0.3, 1, 5):
            count, done = 0, threading.Event()

            def wait():
                addon.blocking_sleep(seconds)
                done.set()

            threading.Thread(target=wait).start()
            while not done.is_set():
                count += 1
                time.sleep(0.001)
            if count > 20:
                break
        self.assertGreater(count, 20)

    def test_a_value_wakes_it_at_once(self):
        times = []
        for _ in range(100):
            begin = time.monotonic()
            self.assertEqual(addon.blocking_sleep(0), 0)
            times.append(time.monotonic() - begin)
        # A quarter of them: on a busy machine the others may wait for a CPU.
        self.assertLess(sorted(times)[25], 0.04, "it takes a timer's tick, not a poll's 50 ms")

    def test_a_signal_interrupts_it_and_drops_its_future(self):
        def interrupt(*_):
            raise KeyboardInterrupt

        before = at_rest()
        old = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with self.assertRaises(KeyboardInterrupt):
                addon.blocking_sleep(60)
        finally:
            signal.signal(signal.SIGALRM, old)
        eventually(self, lambda: addon.live() == before, "the future is dropped")

    def test_a_signal_whose_handler_returns_does_not(self):
        seen = []
        old = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            self.assertEqual(addon.blocking_sleep(0.3), 0.3)
        finally:
            signal.signal(signal.SIGALRM, old)
        self.assertEqual(seen, [1])

    def test_a_stop_ends_it(self):
        caught = []

        def wait():
            try:
                addon.blocking_sleep(60)
            except addon.RuntimeStopped as error:
                caught.append(error)

        before = at_rest()
        thread = threading.Thread(target=wait)
        thread.start()
        eventually(self, lambda: addon.live() == before + 1, "the thread waits")
        addon.stop()
        thread.join(30)
        self.assertEqual(len(caught), 1)

    def test_a_panic_is_raised(self):
        with self.assertRaisesRegex(addon.TaskPanicked, "on purpose"):
            addon.blocking_panic()

    def test_on_the_runtimes_own_thread_it_is_refused(self):
        self.assertIn("would wait for itself", addon.block_in_task())
