import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinCalls } from './call-parts.js';
import { type Threads, TraceReader } from './timeline.js';

/**
 * A get, recorded on a machine with two busy CPUs. What is left out: the events of the other CPU but the first, and most
 * fields of the segments. 25667 is JavaScript's thread.
 */
const RECORDED = `
    quiesce-etcd-25698   [000] ..s2.  3640.653646: tcp_probe: family=AF_INET src=127.0.0.1:35385 dest=127.0.0.1:44304 mark=0x0 data_len=17
    quiesce-etcd-25698   [000] d..5.  3640.653656: sched_waking: comm=node pid=25667 prio=120 target_cpu=000
    quiesce-etcd-25698   [000] d..6.  3640.653659: sched_wakeup: comm=node pid=25667 prio=120 target_cpu=000
    quiesce-etcd-25698   [000] d..2.  3640.653663: sched_switch: prev_comm=quiesce-etcd prev_pid=25698 prev_prio=120 prev_state=S ==> next_comm=node next_pid=25667 next_prio=120
            node-25733   [001] d..2.  3640.653768: sched_switch: prev_comm=node prev_pid=25733 prev_prio=120 prev_state=R ==> next_comm=npm next_pid=25179 next_prio=120
            node-25667   [000] ..s2.  3640.653773: tcp_probe: family=AF_INET src=127.0.0.1:35385 dest=127.0.0.1:44304 mark=0x0 data_len=59
            node-25667   [000] d..2.  3640.653794: sched_switch: prev_comm=node prev_pid=25667 prev_prio=120 prev_state=S ==> next_comm=etcd-3.6.16 next_pid=25660 next_prio=120
     etcd-3.6.16-25660   [000] ..s2.  3640.653803: tcp_probe: family=AF_INET src=127.0.0.1:44304 dest=127.0.0.1:35385 mark=0x0 data_len=0
     etcd-3.6.16-25660   [000] d..2.  3640.653868: sched_switch: prev_comm=etcd-3.6.16 prev_pid=25660 prev_prio=120 prev_state=S ==> next_comm=etcd-3.6.16 next_pid=25659 next_prio=120
     etcd-3.6.16-25659   [000] d..2.  3640.653876: sched_waking: comm=etcd-3.6.16 pid=25664 prio=120 target_cpu=000
     etcd-3.6.16-25659   [000] dN.3.  3640.653878: sched_wakeup: comm=etcd-3.6.16 pid=25664 prio=120 target_cpu=000
     etcd-3.6.16-25659   [000] d..2.  3640.653880: sched_switch: prev_comm=etcd-3.6.16 prev_pid=25659 prev_prio=120 prev_state=R ==> next_comm=etcd-3.6.16 next_pid=25664 next_prio=120
     etcd-3.6.16-25664   [000] ..s2.  3640.653886: tcp_probe: family=AF_INET src=127.0.0.1:44304 dest=127.0.0.1:35385 mark=0x0 data_len=94
     etcd-3.6.16-25664   [000] d.s7.  3640.653888: sched_waking: comm=quiesce-etcd pid=25698 prio=120 target_cpu=000
     etcd-3.6.16-25664   [000] dNs8.  3640.653890: sched_wakeup: comm=quiesce-etcd pid=25698 prio=120 target_cpu=000
     etcd-3.6.16-25664   [000] d..2.  3640.653893: sched_switch: prev_comm=etcd-3.6.16 prev_pid=25664 prev_prio=120 prev_state=R ==> next_comm=quiesce-etcd next_pid=25698 next_prio=120
    quiesce-etcd-25698   [000] ..s2.  3640.653910: tcp_probe: family=AF_INET src=127.0.0.1:35385 dest=127.0.0.1:44304 mark=0x0 data_len=17
    quiesce-etcd-25698   [000] d.s7.  3640.653912: sched_waking: comm=etcd-3.6.16 pid=25660 prio=120 target_cpu=000
    quiesce-etcd-25698   [000] d.s8.  3640.653914: sched_wakeup: comm=etcd-3.6.16 pid=25660 prio=120 target_cpu=000
    quiesce-etcd-25698   [000] d..5.  3640.653922: sched_waking: comm=node pid=25667 prio=120 target_cpu=000
    quiesce-etcd-25698   [000] d..6.  3640.653924: sched_wakeup: comm=node pid=25667 prio=120 target_cpu=000
    quiesce-etcd-25698   [000] d..2.  3640.653929: sched_switch: prev_comm=quiesce-etcd prev_pid=25698 prev_prio=120 prev_state=S ==> next_comm=node next_pid=25667 next_prio=120
`.trim();
const SERVER: Threads = new Set([25657, 25658, 25659, 25660, 25661, 25662, 25663, 25664]);
const JAVA_SCRIPT: Threads = new Set([25667]);
const RUNTIME: Threads = new Set([25698]);
const CALL = { startAt: 3_640_653_696.852, micros: 261.889 };

function read(lines: string): TraceReader {
  const groups = [SERVER, new Set([...JAVA_SCRIPT, ...RUNTIME]), RUNTIME, JAVA_SCRIPT];
  const reader = new TraceReader(35_385, groups, JAVA_SCRIPT);
  for (const line of lines.split('\n')) reader.read(line);
  return reader;
}

function join(reader: TraceReader, withThreads: boolean, calls = [CALL]): ReturnType<typeof joinCalls> {
  const [server, client, runtime, javaScript] = [0, 1, 2, 3].map((group) => reader.timeline(group));
  assert.ok(server && client && runtime && javaScript);
  const wakings = reader.wakings.filter(({ by }) => RUNTIME.has(by));
  const { toServer, toClient } = reader;
  const threads = withThreads && { threads: { runtime, javaScript, wakings } };
  return joinCalls({ calls, toServer, toClient, server, client, ...threads });
}

const whole = (shares: object | undefined): object =>
  Object.fromEntries(Object.entries(shares ?? {}).map(([name, micros]) => [name, Math.round(micros)]));

test('a call is split by the segments that carry its request and its answer', () => {
  const [call] = join(read(RECORDED), true);
  assert.ok(call);
  assert.deepEqual(whole(call.before), { works: 76, wakes: 0, waits: 0, sleeps: 0 });
  assert.deepEqual(whole(call.server), { works: 92, wakes: 0, waits: 0, sleeps: 21 });
  assert.deepEqual(whole(call.runtime), { works: 29, wakes: 0, waits: 5, sleeps: 2 });
  assert.deepEqual(whole(call.javaScript), { works: 30, wakes: 0, waits: 7, sleeps: 0 });
  const parts = [call.before, call.server, call.after].flatMap((shares) => Object.values(shares));
  const sum = parts.reduce((a, b) => a + b);
  assert.ok(Math.abs(sum - CALL.micros) < 0.01, 'the parts are the whole');
});

test('a client whose threads have no roles is one group', () => {
  const [call] = join(read(RECORDED), false);
  assert.deepEqual(
    [whole(call?.after), call?.runtime],
    [{ works: 66, wakes: 0, waits: 5, sleeps: 2 }, undefined],
  );
});

test('a wait beside an idle CPU is a wake-up', () => {
  const [call] = join(
    read(RECORDED.replace('next_comm=npm next_pid=25179', 'next_comm=swapper/1 next_pid=0')),
    false,
  );
  assert.deepEqual(whole(call?.after), { works: 66, wakes: 5, waits: 0, sleeps: 2 });
});

test('a thread that nobody woke continues where the other one has done its part', () => {
  const unwoken = RECORDED.split('\n').filter((line) => !/sched_wak.*pid=25667/.test(line));
  const [call] = join(read(unwoken.join('\n')), true);
  assert.deepEqual(whole(call?.javaScript), { works: 30, wakes: 0, waits: 0, sleeps: 0 });
});

test("an answer that JavaScript's thread reads itself is of that thread alone", () => {
  const lines = RECORDED.split('\n');
  const arrived = lines.findIndex((line) => line.includes('data_len=94'));
  const woken = lines
    .slice(arrived + 1, arrived + 4)
    .map((line) => line.replaceAll('quiesce-etcd', 'node').replaceAll('25698', '25667'));
  const [call] = join(read([...lines.slice(0, arrived + 1), ...woken].join('\n')), true);
  assert.deepEqual(
    [whole(call?.runtime), whole(call?.javaScript)],
    [
      { works: 0, wakes: 0, waits: 0, sleeps: 0 },
      { works: 66, wakes: 0, waits: 5, sleeps: 2 },
    ],
  );
});

test('acknowledgements, which carry no data, are no segments', () => {
  const { toServer, toClient } = read(RECORDED);
  assert.deepEqual(
    [toServer.map(({ bytes }) => bytes), toClient.map(({ bytes }) => bytes)],
    [[17, 59, 17], [94]],
  );
});

test('calls that the trace lacks are left out', () => {
  const later = { ...CALL, startAt: CALL.startAt + 1000 };
  assert.equal(join(read(RECORDED), true, [CALL, later]).length, 1);
});
