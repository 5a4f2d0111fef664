// Node 24 and 26: markAsUntransferable() on a buffer over an addon's memory (napi_create_external_buffer) aborts the
// process when the env ends: "FATAL ERROR: v8::FromJust Maybe value is Nothing", in
// node::Buffer::CallbackInfo::Clean(). That function detaches the buffer without the key that marking it has set. Node
// 20 and 22 end cleanly.
//   cc -shared -fPIC -o /tmp/external-buffer.node scenarios/host-bugs/external-buffer.c
//   node scenarios/host-bugs/untransferable-external-buffer.mjs /tmp/external-buffer.node
import { createRequire } from 'node:module';
import { markAsUntransferable } from 'node:worker_threads';

globalThis.buffer = createRequire(import.meta.url)(process.argv[2]);
markAsUntransferable(globalThis.buffer.buffer);
