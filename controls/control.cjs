// node control.cjs MODE: does what the mode says, and then falls off its end.
const { readFileSync, writeSync } = require('node:fs');
const { join } = require('node:path');

const provided = () => JSON.parse(readFileSync(join(__dirname, '..', '.cache', 'provided.json'), 'utf8'));
const addon = require(process.env.CONTROL_NODE ?? provided().controls['control-napi']);
const modes = {
  'static-runtime': addon.staticRuntime,
  'late-callback': addon.lateCallback,
  'hang-at-join': addon.hangAtJoin,
  'leaked-thread': addon.leakedThread,
  'use-after-free': addon.useAfterFree,
  'lose-memory': addon.loseMemory,
};
modes[process.argv[2]]();
setTimeout(() => {
  if (process.env.QUIESCE_DONE_FD) writeSync(Number(process.env.QUIESCE_DONE_FD), 'done\n');
}, 30);
