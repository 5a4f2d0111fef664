// A machine that gives less than usual, and programs that misbehave: a clear line, the documented exit code, and
// nothing left.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findExecutable } from '../src/process/executable.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const dir = temporaryDirectory('hostile');
const scratch = join(dir, 'scratch');
const bin = fileURLToPath(new URL('../../bin/quiesce.js', import.meta.url));
const linuxOnly = process.platform === 'linux' ? false : 'Linux only';

mkdirSync(scratch);
const script = (name: string, text: string | Buffer, mode = 0o755): void => {
  writeFileSync(join(dir, name), text);
  chmodSync(join(dir, name), mode);
};
script('lost-interpreter', '#!/nowhere/sh\n');
script('no-interpreter', 'echo hello\nexit 3\n');
script('of-another-machine', foreignProgram());
script('not-executable', 'exit 0\n', 0o644);

/** An ELF file whose header names a machine that no Linux runs on. */
function foreignProgram(): Buffer {
  const program = readFileSync('/bin/true');
  program.writeUInt16LE(0xbeef, 18);
  return program;
}

/**
 * In a shell command, `$Q` stands for the tester, and `$COMMAND` for its command as it is installed. The working directory
 * is this file's.
 */
function shell(line: string, env: NodeJS.ProcessEnv = {}): { code: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync('bash', ['-c', `${line} 2>&1`], {
    ...{ cwd: dir, timeout: 240_000, encoding: 'utf8' },
    env: {
      ...process.env,
      NO_COLOR: '1',
      TMPDIR: scratch,
      Q: `${process.execPath} ${bin}`,
      COMMAND: bin,
      ...env,
    },
  });
  return { code: status, output: stdout + stderr };
}

const valgrind = findExecutable('valgrind', '/').path === undefined ? [] : ['--valgrind'];
const RUN = '$Q run --runs 2 --timeout 5s';

const cases: readonly (readonly [what: string, line: string, code: number, output: RegExp, env?: object])[] =
  [
    ['its standard output is closed', `(${RUN} -- false >&-)`, 1, /^false: 2 runs, 2 exit code 1 in .*\n$/],
    ['all its output is closed', `(${RUN} -- false >&- 2>&-)`, 1, /^$/],
    ['its standard input is closed', `${RUN} -- true <&-`, 0, /^All as expected/m],
    ['its reader goes away', `set -o pipefail; ${RUN} --json - -- false | head -1`, 1, /^\{$/m],
    [
      'no file may be as long as its report',
      `(ulimit -f 0; ${RUN} --json long.json -- true)`,
      3,
      /^quiesce: error: can't write long\.json: EFBIG/m,
    ],
    [
      'the file for its timeline has no room',
      `(ulimit -f 0; ${RUN} --timeline -- true)`,
      3,
      /^quiesce: error: can't make a temporary file in .*: EFBIG.* \(set TMPDIR to a directory with room\)$/m,
    ],
    [
      'what the amplifier reports has no room',
      `(ulimit -f 0; ${RUN} --perturb amplify -- true)`,
      3,
      /^quiesce: error: can't make a temporary file in .*: EFBIG.* \(set TMPDIR to a directory with room\)$/m,
    ],
    [
      'it is stopped until the program has ended, and the time is over',
      `$Q run -n 1 --timeout 1s -- bash -c 'touch started; sleep 0.5' & p=$!
        until [ -e started ]; do sleep 0.02; done; kill -STOP $p; sleep 1.5; kill -CONT $p; rm started; wait $p`,
      0,
      /^All as expected/m,
    ],
    ...['HUP', 'INT', 'TERM', 'QUIT'].map((name): [string, string, number, RegExp] => [
      `SIG${name} was ignored when it began`,
      // The program isn't a child of the tester.
      `(trap '' ${name}; exec $COMMAND run -n 1 -- bash -c 'env >variables; touch started; sleep 1') & p=$!
        until [ -e started ]; do sleep 0.02; done; kill -${name} $p; rm started; wait $p; c=$?
        grep -c IGNORED variables; exit $c`,
      0,
      /^All as expected(?:.*\n)*0$/m,
    ]),
    [
      'few files may be open',
      '(ulimit -n 20; $Q run -- true)',
      3,
      /^quiesce: error: EMFILE.* \(raise ulimit -n\)$/m,
    ],
    ['it has no environment', `env -i $Q run -n 1 -- /bin/true`, 0, /^All as expected/m],
    [
      'its TMPDIR is not there',
      `${RUN} -- true`,
      3,
      /^quiesce: error: can't make a temporary directory: ENOENT.*\(set TMPDIR to a directory that can be written to\)$/m,
      { TMPDIR: '/nowhere' },
    ],
    [
      'its TMPDIR is relative, and programs run elsewhere',
      `mkdir -p elsewhere relative; printf '{"scenarios":[{"name":"a","command":["sh","-c","touch $TMPDIR/a"],"cwd":"elsewhere"}]}' > relative.json
        ${RUN} --perturb amplify --plan relative.json`,
      0,
      /^(?!.*not amplified).*^All as expected/ms,
      { TMPDIR: 'relative' },
    ],
    [
      'no file may be as long as the lock of its history',
      `mkdir locked; (ulimit -f 0; ${RUN} --history locked/h.jsonl -- true); echo "left: $(ls locked)"; rm -r locked`,
      0,
      /^left: \n(?:.*\n)*quiesce: error: can't write history locked\/h\.jsonl: EFBIG/m,
    ],
    [
      'many runs at a time are looked at',
      `$Q run -n 12 -j 12 --timeout 1s -- sleep 60`,
      1,
      /^(?!.*Warning).*12 hang/s,
    ],
    [
      'its working directory is gone',
      `(mkdir gone && cd gone && rmdir ../gone && ${RUN} -- true)`,
      3,
      /^quiesce: error: the working directory doesn't exist any more \(cd to one that does\)$/m,
    ],
    [
      'the command is a directory',
      `${RUN} -- ./scratch`,
      2,
      /^quiesce: error: command "\.\/scratch" is a directory/,
    ],
    [
      'the command is no program',
      `${RUN} -- ./not-executable`,
      2,
      /^quiesce: error: command "\.\/not-executable" is not executable \(chmod/,
    ],
    [
      'the command has lost its interpreter',
      `${RUN} -- ./lost-interpreter`,
      3,
      /^quiesce: error: can't start "\.\/lost-interpreter".*\(its first line names \/nowhere\/sh, which doesn't exist\)$/m,
    ],
    [
      'the command has no first line for an interpreter',
      `${RUN} -- ./no-interpreter`,
      1,
      /2 of 2 exit code 3/,
    ],
    [
      'the command is a program for another machine',
      `${RUN} -- ./of-another-machine`,
      3,
      /^quiesce: error: can't start "\.\/of-another-machine": .*ENOEXEC \(it is a program for another machine/m,
    ],
    ...['--perturb nice=1', '--perturb amplify', ...valgrind].flatMap((wrapped): (typeof cases)[number][] => [
      [
        `the command is a program for another machine, and a wrapper starts it: ${wrapped}`,
        `${RUN} ${wrapped} -- ./of-another-machine`,
        3,
        /^quiesce: error: can't start "\.\/of-another-machine": .*ENOEXEC \(it is a program for another machine/m,
      ],
      [
        `the command has lost its interpreter, and a wrapper starts it: ${wrapped}`,
        `${RUN} ${wrapped} -- ./lost-interpreter`,
        3,
        /^quiesce: error: can't start "\.\/lost-interpreter".*\(its first line names \/nowhere\/sh, which doesn't exist\)$/m,
      ],
      [
        `the command has no first line for an interpreter, and a wrapper starts it: ${wrapped}`,
        `${RUN} ${wrapped} -- ./no-interpreter`,
        1,
        /2 of 2 exit code 3/,
      ],
      [
        `the command is gone after the first run, and a wrapper starts it: ${wrapped}`,
        `printf '#!/bin/sh\\nrm -f goes' > goes; chmod +x goes; $Q run --runs 2 --timeout 60s ${wrapped} -- ./goes; c=$?; rm -f goes; exit $c`,
        3,
        /stopped early: can't start ".\/goes"/,
      ],
    ]),
    [
      'its working directory is gone after the first run',
      `(mkdir lost && cd lost && ${RUN} -- sh -c 'rm -rf ../lost')`,
      3,
      /stopped early: can't start "sh": spawn sh ENOENT \(the directory \S+\/lost doesn't exist any more\)/,
    ],
    [
      'two of its reports have no place any more',
      `(mkdir lost && cd lost && $Q run -n 1 --json a.json --tap a.tap -- sh -c 'rm -rf ../lost')`,
      3,
      /^quiesce: error: can't write a\.json: ENOENT.*; can't write a\.tap: ENOENT/m,
    ],
    [
      'the program ignores signals',
      `$Q run -n 1 --timeout 500ms -- bash -c 'trap "" TERM INT HUP; sleep 61 & wait'`,
      1,
      /1 of 1 hang after 500 ms/,
    ],
    [
      'what it prints is no text',
      `${RUN} -- bash -c 'printf "\\xff\\x00\\x1b[2Jbad\\n" >&2; exit 1'`,
      1,
      /^ {4}\ufffd\S*bad$/m,
    ],
    [
      'what it prints is long',
      `$Q run -n 1 --timeout 50s -- bash -c 'head -c 50000000 /dev/zero | tee /dev/stderr; exit 1'`,
      1,
      /bytes left out/,
    ],
  ];

for (const [what, line, code, output, env] of cases) {
  test(what, { skip: linuxOnly }, () => {
    const seen = shell(line, { ...env });
    assert.match(seen.output, output);
    assert.equal(seen.code, code, seen.output);
    assert.doesNotMatch(seen.output, /internal error|\n +at /);
    assert.deepEqual(readdirSync(scratch), []);
    assert.equal(existsSync(join(dir, 'long.json')), false);
  });
}
