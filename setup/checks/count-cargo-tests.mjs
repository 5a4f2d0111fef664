// @ts-check

/**
 * The sum of the summaries of `cargo test`. A command without a summary counts as one test.
 * @param {string} output
 * @param {number} code
 */
export function countCargoTests(output, code) {
  const total = { passed: 0, failed: 0, skipped: 0 };
  for (const [, passed, failed, ignored] of output.matchAll(
    /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm,
  )) {
    total.passed += Number(passed);
    total.failed += Number(failed);
    total.skipped += Number(ignored);
  }
  if (code !== 0) total.failed ||= 1;
  else if (total.passed === 0) total.passed = 1;
  return total;
}
