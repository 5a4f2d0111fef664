# Arrow's threads read a Python file object ahead while the interpreter ends.
import io
import time

import pyarrow.csv as csv


class Slow(io.RawIOBase):
    def readable(self):
        return True

    def readinto(self, buffer):
        time.sleep(0.001)
        data = b"1,2\n" * (len(buffer) // 4)
        buffer[: len(data)] = data
        return len(data)


options = csv.ReadOptions(block_size=4096, column_names=["a", "b"])
reader = csv.open_csv(Slow(), read_options=options)
reader.read_next_batch()
