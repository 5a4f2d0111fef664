# A daemon thread writes a table from a Python generator while the interpreter ends.
import tempfile
import threading
import time

import pyarrow as pa
from deltalake import write_deltalake

folder = tempfile.mkdtemp()
schema = pa.schema([("a", pa.int64())])


def batches():
    while True:
        yield pa.record_batch([pa.array(range(1000))], schema=schema)


def work():
    write_deltalake(folder, pa.RecordBatchReader.from_batches(schema, batches()))


threading.Thread(target=work, daemon=True).start()
time.sleep(0.4)
