// The main job: DESIGN's scenarios on this client, and as the control, the bug and its cure on etcd-client-py.
import { etcdService, valkeyService } from '@quiesce/test-services';
import { definePlan, type ScenarioSpec } from 'quiesce';
import { pythonProgram } from './in-root.js';
import { crossLibrary, etcdPython, python, typescript, valkeyHere } from './library.js';

/** [number and name in DESIGN, program, its counterpart in Python, runs] */
const programs = [
  ['0 basic put', 'basic-put', 'basic_put', 5],
  ['1 active watch', 'active-watch', 'active_watch', 20],
  ['2 50 concurrent puts', 'concurrent-puts', 'concurrent_puts', 20],
  ['3 rapid client creation', 'rapid-clients', 'rapid_clients', 20],
  ['4 3 watches + 30 operations', 'watches-and-operations', 'watches_and_operations', 30],
  ['5 ultra-rapid subprocess', 'connect-and-exit', 'connect_and_exit', 50],
  ['7 many async tasks', 'many-async-tasks', 'many_async_tasks', 20],
  ['7 worker threads', 'worker-threads', 'threads', 20],
  ['7 mixed', 'mixed', 'mixed', 20],
] as const;

const ours = programs.map(
  ([name, program, , runs]): ScenarioSpec => ({
    name,
    group: '@quiesce/etcd',
    command: typescript(program),
    runs,
    expect: { stderr: 'empty' },
  }),
);

/** Not judged: the first is known to fail now and then, and both use other clients. [program, runs] */
const controlled = [
  ['1 active watch', 60],
  ['7 worker threads', 20],
  ['7 mixed', 20],
] as const;

const controls = [python.etcdBad, python.etcd].flatMap((environment): ScenarioSpec[] => {
  if (environment === undefined) {
    console.error('quiesce: etcd-client-py is not installed here (no Python); its rows are left out');
    return [];
  }
  return controlled.map(([name, runs]) => ({
    name: `${name}, ${environment.version}`,
    group: 'control: etcd-client-py',
    command: [environment.python, pythonProgram(programs.find((program) => program[0] === name)?.[2] ?? '')],
    runs,
    expect: 'any',
  }));
});

/** The same programs on the same client crate as the controls, but on another runtime. */
const cured = curedBy(etcdPython);

function curedBy(example: typeof etcdPython): ScenarioSpec[] {
  if (example === undefined) {
    console.error(
      'quiesce: examples/etcd-python is not built here (no Python or cargo); its rows are left out',
    );
    return [];
  }
  return programs.map(([name, , program, runs]) => ({
    name: `${name}, cured`,
    group: "cured: etcd-client-py's crate on owned-runtime (examples/etcd-python)",
    command: [example.python, pythonProgram(program)],
    env: example.env,
    runs,
    // Daemon threads that call too late may get an error. Python prints errors that they don't catch.
    ...(!['threads', 'mixed'].includes(program) && { expect: { stderr: 'empty' } as const }),
  }));
}

const { server } = valkeyHere;
if (server === undefined) {
  console.error('quiesce: there is no Valkey-compatible server here; the rows of scenario 6 are left out');
}

export default definePlan({
  services: { etcd: etcdService(), ...(server !== undefined && { valkey: valkeyService(server) }) },
  defaults: { uses: ['etcd'], timeout: '10s' },
  scenarios: [...ours, ...crossLibrary(20), ...controls, ...cured],
});
