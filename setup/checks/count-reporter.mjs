// @ts-check
const SUMMARY = /^(pass|fail|cancelled|skipped|todo) (\d+)$/;

/**
 * Reporter for node:test that prints one JSON object with the numbers of its closing summary.
 * @param {AsyncIterable<import('node:test/reporters').TestEvent>} events
 */
export default async function* countReporter(events) {
  /** @type {Record<string, number>} */
  const counts = {};
  for await (const { type, data } of events) {
    // Tests may also write diagnostics; those of the summary have no nesting and come last.
    const match = type === 'test:diagnostic' && data.nesting === 0 ? SUMMARY.exec(data.message) : null;
    if (match?.[1] !== undefined) counts[match[1]] = Number(match[2]);
  }
  yield JSON.stringify(counts);
}
