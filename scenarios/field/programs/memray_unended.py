# A tracker that is never ended: its destructor asks Python after finalization.
import os
import tempfile

import memray

memray.Tracker(os.path.join(tempfile.mkdtemp(), "out.bin"), native_traces=True).__enter__()
kept = [bytes(1000) for _ in range(1000)]
