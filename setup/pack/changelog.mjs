// @ts-check
// Checks that CHANGELOG.md has the form of https://keepachangelog.com, which readers and tools know.

const KINDS = ['Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'];
const RELEASE = /^## \[(\d+\.\d+\.\d+(?:-[\w.]+)?)\] - (\d{4}-\d\d-\d\d)$/;

/**
 * Why a changelog doesn't have that form.
 * @param {string} text
 * @param {string} version the version of the packages
 * @param {{ released?: boolean }} [options] `released`: the version must have a section
 * @returns {string[]}
 */
export function problemsOfChangelog(text, version, { released = false } = {}) {
  const problems = [];
  const lines = text.split('\n');
  if (lines[0] !== '# Changelog') problems.push('its title is "# Changelog"');
  if (!/keepachangelog\.com/.test(text) || !/semver\.org/.test(text)) {
    problems.push('it names neither keepachangelog.com nor semver.org');
  }
  const sections = lines.filter((line) => line.startsWith('## '));
  if (sections[0] !== '## [Unreleased]') problems.push('the first section is [Unreleased]');
  for (const [i, line] of lines.entries()) {
    if (line.startsWith('## ')) {
      const date = RELEASE.exec(line)?.[2];
      const known = date !== undefined && !Number.isNaN(Date.parse(date));
      if (line !== '## [Unreleased]' && !known) {
        problems.push(`"${line}" is neither [Unreleased] nor [VERSION] - DATE`);
      }
    }
    if (!line.startsWith('### ')) continue;
    if (!KINDS.includes(line.slice(4))) problems.push(`"${line}" is none of ${KINDS.join(', ')}`);
    if (
      !lines
        .slice(i + 1)
        .find((next) => next !== '')
        ?.startsWith('- ')
    )
      problems.push(`"${line}" has no entry`);
  }
  if (released && !sections.some((line) => RELEASE.exec(line)?.[1] === version)) {
    problems.push(`${version} has no section: move what is in [Unreleased] there, with its date`);
  }
  return problems;
}
