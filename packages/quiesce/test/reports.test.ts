// JUnit XML, TAP, GitHub annotations and the HTML page, each read by a program that reads it in practice.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { XmlDocument, XsdValidator } from 'libxml2-wasm';
import { type Browser, chromium, type Page } from 'playwright-core';
import { Parser } from 'tap-parser';
import { htmlReport, runPlan } from '../src/index.js';
import { witnessProblem } from '../src/run/witness.js';
import { VERSION } from '../src/version.js';
import { type CliResult, runCli } from './support/cli.js';
import { provided } from './support/provided.js';
import { temporaryDirectory } from './support/temporary-directory.js';

const NASTY = 'nasty <b>&amp; "quotes", 100 % | #hash \\ &#60; :: ]]>';
const dir = temporaryDirectory('reports');

const quiesce = (args: readonly string[], env?: NodeJS.ProcessEnv): Promise<CliResult> =>
  runCli(args, { cwd: dir, ...(env && { env }) });

const text = (file: string): string => readFileSync(join(dir, file), 'utf8');

let ended: CliResult;
before(async () => {
  const done = 'echo done >&$QUIESCE_DONE_FD;';
  const crash =
    `${done} [ $((QUIESCE_RUN % 3)) != 0 ] || ` +
    `{ printf '\\033[31mFatal Python error: PyGILState_Release: </pre><script>document.title=1</script>\\000' >&2; kill -ABRT $$; }`;
  const scenarios = [
    { name: 'steady', group: 'good', command: ['sh', '-c', done], runs: 60, jobs: 2 },
    {
      name: NASTY,
      group: 'bad & worse',
      command: ['sh', '-c', crash],
      runs: 12,
      perturb: 'nice',
      seed: 5,
      timeline: true,
    },
    { name: 'hang', group: 'bad & worse', command: ['sleep', '60'], runs: 1, timeout: '300ms' },
    { name: 'control', command: ['false'], expect: 'any', runs: 3 },
    { name: 'no service', command: ['true'], uses: ['dead'], runs: 3 },
  ];
  const services = { dead: { command: ['false'], ready: { log: 'never' } } };
  writeFileSync(join(dir, 'plan.json'), JSON.stringify({ services, scenarios }));
  writeFileSync(join(dir, 'summary.md'), 'before\n');
  const files = ['--json', 'r.json', '--junit', 'r.xml', '--tap', 'r.tap', '--html', 'r.html'];
  ended = await quiesce(['run', '--plan', 'plan.json', ...files], {
    GITHUB_ACTIONS: 'true',
    GITHUB_STEP_SUMMARY: join(dir, 'summary.md'),
  });
  assert.equal(ended.code, 3, ended.stderr);
});

describe('JUnit XML', () => {
  test('is valid, and has the counts and the names', () => {
    const xsd = readFileSync(fileURLToPath(new URL('../../test/reference/junit.xsd', import.meta.url)));
    using schema = XmlDocument.fromBuffer(xsd);
    using validator = XsdValidator.fromDoc(schema);
    using document = XmlDocument.fromString(text('r.xml'));
    validator.validate(document); // throws
    const value = (path: string): string | undefined => document.get(path)?.content;
    assert.deepEqual(
      ['tests', 'failures', 'errors'].map((name) => value(`/testsuites/@${name}`)),
      ['5', '2', '1'],
    );
    assert.deepEqual(
      document.find('//testsuite/@name').map(({ content }) => content),
      ['good', 'bad & worse', 'quiesce'],
    );
    assert.equal(value('/testsuites/@name'), `quiesce ${VERSION}`);
    assert.equal(value('//testcase[failure][1]/@name'), NASTY);
    assert.match(value('//testcase[1]/failure') ?? '', /PyGILState_Release: <\/pre><script>/);
    assert.match(value('//testcase/error/@message') ?? '', /service/);
    assert.equal(value("//testcase[@name='control']/failure"), undefined);
  });
});

describe('TAP', () => {
  test('is read by a TAP parser, with its diagnostics', () => {
    const parser = new Parser();
    const points: { ok: boolean; name: string; diag: Record<string, unknown> }[] = [];
    const strange: string[] = [];
    parser.on('assert', (point: (typeof points)[number]) => points.push(point));
    parser.on('extra', (line: string) => strange.push(line));
    let results: { ok: boolean; count: number; fail: number; failures: unknown[] } | undefined;
    parser.on('complete', (all: typeof results) => (results = all));
    parser.end(text('r.tap'));
    assert.deepEqual(strange, []);
    assert.deepEqual([results?.ok, results?.count, results?.fail], [false, 5, 3]);
    assert.deepEqual(
      points.map(({ ok }) => ok),
      [true, false, false, true, false],
    );
    assert.equal(points[1]?.name, NASTY);
    const [failure] = (points[1]?.diag.failures ?? []) as Record<string, unknown>[];
    assert.deepEqual([failure?.outcome, failure?.count, failure?.phase], ['SIGABRT', 4, 'exit']);
    assert.equal(points[4]?.diag.verdict, 'not run');
  });
});

/** What GitHub's runner takes for commands: it trims lines, and looks at none until a `stop-commands` is ended. */
function commandsIn(output: string): string[] {
  let until: string | undefined;
  return output.split('\n').flatMap((line) => {
    const text = line.trim();
    if (until !== undefined) {
      if (text === `::${until}::`) until = undefined;
      return [];
    }
    until = /^::stop-commands::(.+)$/.exec(text)?.[1];
    return until === undefined && text.startsWith('::') ? [text] : [];
  });
}

describe('GitHub', () => {
  test('what a program or a name says is no command', async () => {
    const program = 'echo ::error::mine; echo ::stop-commands::mine; exit 1';
    const { stdout } = await quiesce(
      ['run', '-n', '1', '--name', '::error::named', '--', 'sh', '-c', program],
      {
        GITHUB_ACTIONS: 'true',
      },
    );
    assert.match(stdout, /^ +::error::mine$/m);
    const [only, ...others] = commandsIn(stdout);
    assert.match(only ?? '', /^::error title=%3A%3Aerror/);
    assert.deepEqual(others, []);
  });

  test('annotations are one line each, escaped, and the rest of the output makes none', () => {
    const commands = commandsIn(ended.stdout);
    assert.equal(commands.length, 4, ended.stdout);
    const [first = ''] = commands;
    assert.ok(
      first.startsWith(
        '::error file=plan.json,title=nasty <b>&amp; "quotes"%2C 100 %25 | #hash \\ &#60; %3A%3A',
      ),
    );
    assert.match(
      first,
      /::4 of 12 runs failed: 4 SIGABRT%0A.*quiesce run -n \d+ --perturb nice=\d+ --plan plan\.json --only '/,
    );
    assert.match(commands.at(-1) ?? '', /title=service dead::/);
  });

  test("a summary is added to the step's", () => {
    const summary = text('summary.md');
    assert.ok(summary.startsWith('before\n### Quiesce: Not as expected\n'));
    const row = summary.split('\n').find((line) => line.startsWith('| nasty')) ?? '';
    assert.equal(row.split(/(?<!\\)\|/).length, 8, row);
  });

  test('nothing of it elsewhere, or when it is not wanted', async () => {
    assert.doesNotMatch((await quiesce(['run', '-n', '1', '--', 'false'])).stdout, /^::/m);
    const refused = ['run', '-n', '1', '--no-github', '--', 'false'];
    assert.doesNotMatch((await quiesce(refused, { GITHUB_ACTIONS: 'true' })).stdout, /^::/m);
  });
});

test('a failure is seen again with the command that the report gives', async () => {
  const [, again = ''] =
    /"to repeat|to repeat: quiesce (run -n \d+ --perturb \S+) --plan/.exec(ended.stdout) ?? [];
  const { code, stdout } = await quiesce([...again.split(' '), '--plan', 'plan.json', '--only', NASTY]);
  assert.equal(code, 1, stdout);
  assert.match(stdout, /SIGABRT at exit/);
});

test('two reports into one file, or one into a folder that is not there, are refused before the runs', async () => {
  for (const args of [
    ['--json', 'x', '--html', 'x'],
    ['--junit', '-', '--tap', '-'],
    ['--html', 'no/where.html'],
  ]) {
    const { code, stderr } = await quiesce(['run', ...args, '--', 'true']);
    assert.equal(code, 2);
    assert.match(stderr, /^quiesce: error: [^\n]+\n$/);
  }
});

describe('the HTML page', () => {
  const executablePath = process.env.CHROMIUM_BIN || provided('chromium') || '/usr/bin/chromium';
  const skip = existsSync(executablePath) ? false : `no Chromium at ${executablePath}: set CHROMIUM_BIN`;
  let browser: Browser;
  const requests: string[] = [];

  before(async () => {
    if (skip) return;
    browser = await chromium.launch({
      executablePath,
      args: [
        ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
        ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
      ],
    });
  });
  after(() => browser?.close());

  async function open(file: string, colorScheme: 'light' | 'dark', width: number): Promise<Page> {
    const context = await browser.newContext({
      colorScheme,
      viewport: { width, height: 800 },
      javaScriptEnabled: false,
      offline: true,
    });
    const page = await context.newPage();
    page.on('request', (request) => requests.push(request.url()));
    await page.goto(`file://${join(dir, file)}`);
    return page;
  }

  // As text, since it runs in the page: this project is compiled without the types of browsers.
  const WIDTHS = '[document.documentElement.scrollWidth, innerWidth]';
  const CONTRAST = `(element) => {
    const channels = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
    const luminance = (colour) => {
      const [r, g, b] = channels(colour).map((value) => {
        const part = value / 255;
        return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let behind = element;
    const background = () => getComputedStyle(behind).backgroundColor;
    while (channels(background())[3] === 0) behind = behind.parentElement;
    const [more, less] = [luminance(getComputedStyle(element).color), luminance(background())].sort((a, b) => b - a);
    return (more + 0.05) / (less + 0.05);
  }`;

  /** WCAG's contrast ratio between an element's text and its background. */
  const contrast = (page: Page, selector: string): Promise<number> =>
    page.evaluate<number>(`(${CONTRAST})(document.querySelector(${JSON.stringify(selector)}))`);

  for (const scheme of ['light', 'dark'] as const) {
    for (const width of [1100, 360]) {
      test(`fits and is legible, ${scheme}, ${width} pixels wide`, { skip }, async () => {
        const page = await open('r.html', scheme, width);
        const [content, view] = await page.evaluate<number[]>(WIDTHS);
        assert.equal(content, view);
        for (const selector of [
          'h1',
          '.facts',
          '.badge.good',
          '.badge.bad',
          '.badge.warn',
          'a',
          'figcaption',
          'pre',
          ...(witnessProblem() === undefined ? ['.says'] : []),
        ]) {
          const ratio = await contrast(page, selector);
          assert.ok(ratio >= 4.5, `${selector}: ${ratio}`);
        }
        for (const chart of await page.locator('svg.chart').all()) {
          const box = await chart.boundingBox();
          assert.ok(box !== null && box.width > 250 && box.width <= width, JSON.stringify(box));
        }
        // The exit of a failed run, and of a clean one beside it.
        const timelines = page.locator('#s1f0 svg.exit-timeline');
        assert.equal(await timelines.count(), witnessProblem() === undefined ? 2 : 0);
        for (const timeline of await timelines.all()) {
          const box = await timeline.boundingBox();
          assert.ok(box !== null && box.width > 250 && box.width <= width, JSON.stringify(box));
          for (const text of await timeline.locator('text').all()) {
            const label = await text.boundingBox();
            const what = `${await text.textContent()}: ${JSON.stringify(label)}`;
            assert.ok(label !== null && label.x >= 0 && label.x + label.width <= width, what);
          }
        }
        await page.context().close();
      });
    }
  }

  test('shows every run, links failed ones to their kind, and escapes what programs print', {
    skip,
  }, async () => {
    const page = await open('r.html', 'light', 1100);
    assert.equal(await page.title(), 'Quiesce: not as expected');
    const cells = page.locator('#s1 .outcomes svg a');
    assert.equal(await cells.count(), 4);
    assert.equal((await page.locator('#s1 .exit-times svg rect.bar').count()) > 0, true);
    assert.equal(await page.locator('#s2 .exit-times').count(), 0);
    assert.equal(
      await page
        .locator('#s1 h2')
        .first()
        .textContent()
        .then((t) => t?.startsWith(NASTY)),
      true,
    );
    const failure = page.locator('#s1f0');
    assert.equal(await failure.getAttribute('open'), '');
    assert.match((await failure.textContent()) ?? '', /quiesce run -n \d+ --perturb nice=\d/);
    assert.match((await failure.locator('pre').last().textContent()) ?? '', /<script>document/);
    assert.match((await page.locator('.trouble').textContent()) ?? '', /dead/);
    // A stack of threads, if gdb is installed.
    assert.match((await page.locator('#s2f0').textContent()) ?? '', /sleep/);
    await cells.first().click();
    assert.match(page.url(), /#s1f0$/);
    await page.context().close();
  });

  test('has what a thread ran in its own language, and frames that read alike as one', async () => {
    const result = await runPlan({
      scenarios: [{ name: 'dies', command: ['sh', '-c', 'kill -ABRT $$'], runs: 1, witness: false }],
    });
    const nameless = { name: null, library: null, source: null };
    const thread = {
      ...{ tid: 7, name: 'python3', main: true, faulting: false, halted: 'ended' as const },
      frames: [{ ...nameless, name: 'read' }, nameless, nameless, nameless, { ...nameless, name: 'main' }],
      interpreted: [{ name: 'wait', file: 'job.py', line: 12 }],
      keptAliveBy: ['timer x2'],
    };
    const scenarios = result.scenarios.map((scenario) => ({
      ...scenario,
      failures: scenario.failures.map((failure) => ({
        ...failure,
        evidence: { ...failure.evidence, threads: [thread] },
      })),
    }));
    const page = htmlReport({ ...result, scenarios });
    assert.match(page, /<summary>python3 \(main, ended\)<\/summary>/);
    assert.match(page, /wait \(job\.py:12\)/);
    assert.match(page, /its event loop is kept alive by: timer x2/);
    const frames = [
      ...page.matchAll(/<li value="(\d+)"><code>(.+?)<\/code>(?: <span class="where">(x\d+)<\/span>)?/g),
    ];
    assert.deepEqual(
      frames.map((found) => found.slice(1)),
      [
        ['0', 'read', undefined],
        ['1', '??', 'x3'],
        ['4', 'main', undefined],
      ],
    );
  });

  test('has failures first, and shows those that the reader chooses, without a script', {
    skip,
  }, async () => {
    const scenario = (name: string, code: number, expect: 'clean' | 'any' = 'clean') => ({
      ...{ name, expect, runs: 2, witness: false },
      command: ['sh', '-c', `exit ${code}`],
    });
    const result = await runPlan({
      scenarios: [scenario('fine', 0), scenario('control', 1, 'any'), scenario('broken', 1)],
    });
    writeFileSync(join(dir, 'filter.html'), htmlReport(result));
    const page = await open('filter.html', 'light', 1100);
    const shown = async (): Promise<string[]> => {
      const sections = await page.locator('section.scenario').filter({ visible: true }).all();
      const titles = await Promise.all(sections.map((one) => one.locator('h2').textContent()));
      return titles.map((title) => (title ?? '').split(' ')[0] as string);
    };
    assert.deepEqual(await shown(), ['broken', 'control', 'fine']);
    assert.match(
      (await page.locator('.filter').textContent()) ?? '',
      /all \(3\).*failed \(1\).*expected \(1\)/,
    );
    await page.locator('#show-failed').check();
    assert.deepEqual(await shown(), ['broken']);
    assert.equal(await page.locator('.summary tbody tr').filter({ visible: true }).count(), 1);
    await page.locator('#show-ok').check();
    assert.deepEqual(await shown(), ['fine']);
    // A print has all titles, and bars with their colours.
    await page.locator('#show-all').check();
    await page.emulateMedia({ media: 'print' });
    assert.equal(await page.locator('summary').first().isVisible(), true);
    assert.equal(
      await page.evaluate('getComputedStyle(document.querySelector(".rate-bar")).printColorAdjust'),
      'exact',
    );
    await page.context().close();
  });

  test('asks for nothing from a network', { skip }, () => {
    assert.ok(requests.length > 0);
    assert.deepEqual(
      requests.filter((url) => !url.startsWith('file://')),
      [],
    );
  });

  test('holds ten thousand runs in little space', { skip }, async () => {
    const report = JSON.parse(text('r.json'));
    const [steady] = report.scenarios;
    const [template] = steady.runs;
    steady.completedRuns = steady.plannedRuns = 10_000;
    steady.runs = Array.from({ length: 10_000 }, (_, i) => ({
      ...template,
      run: i + 1,
      exitMs: 3 + (i % 97) / 50,
    }));
    writeFileSync(
      join(dir, 'many.json'),
      JSON.stringify({ ...report, serviceFailures: [], scenarios: [steady] }),
    );
    const { code, stderr } = await quiesce(['merge', 'many.json', '--html', 'many.html']);
    assert.equal(code, 0, stderr);
    assert.ok(text('many.html').length < 100_000, `${text('many.html').length}`);
    const page = await open('many.html', 'light', 360);
    const box = await page.locator('.outcomes svg').boundingBox();
    assert.ok(box !== null && box.height < 600, JSON.stringify(box));
    await page.context().close();
  });

  test('of a comparison has both rates with their intervals', { skip }, async () => {
    const sides = ['--before', `sh -c '[ $((QUIESCE_RUN % 2)) = 0 ]'`, '--after', 'true', '-n', '20'];
    const { code, stderr } = await quiesce(['compare', ...sides, '--html', 'compared.html']);
    assert.equal(code, 0, stderr);
    for (const width of [1100, 360]) {
      const page = await open('compared.html', 'dark', width);
      const words = (await page.locator('#comparisons').textContent()) ?? '';
      assert.match(words, /after fails less/);
      assert.match(words, /50\.0 %/);
      assert.equal(await page.locator('#comparisons .rate-interval').count(), 2);
      assert.equal(await page.title(), 'Quiesce: comparison');
      const lines = `(() => {
        const range = document.createRange();
        range.selectNodeContents(document.querySelector('.sides th'));
        return range.getClientRects().length;
      })()`;
      assert.equal(await page.evaluate<number>(lines), 1);
      const [content, view] = await page.evaluate<number[]>(WIDTHS);
      assert.equal(content, view);
      await page.context().close();
    }
  });
});
