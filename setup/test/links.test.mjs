// @ts-check
// Links in documents lead to existing files and headings, and the site's navigation has each page.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { it } from 'node:test';
import { navigation, sidebar } from '../../site/.vitepress/navigation.mjs';
import { inRoot } from '../lib/paths.mjs';

const documents = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'], {
  cwd: inRoot(),
  encoding: 'utf8',
})
  .trim()
  .split('\n')
  .filter((name) => existsSync(inRoot(name)));

/** Pages that a table on another page lists, and pages that aren't for the site. */
const NOT_IN_NAVIGATION = /^docs\/(diagnosis\/(?!README)|upstream\/|README\.md)/;

/** Made together with the site, whose build checks them. */
const GENERATED = /^\.\/(etcd|quiesce|rust)\//;

/**
 * The anchors of a page's headings, as GitHub and the site make them.
 * @param {string} text
 */
function anchors(text) {
  const headings = text.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/^#+ (.+)$/gm);
  return [...headings].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_\- ]/gu, '')
      .replaceAll(' ', '-'),
  );
}

for (const page of documents) {
  it(`${page}: links lead somewhere`, () => {
    const text = readFileSync(inRoot(page), 'utf8').replace(/^```[\s\S]*?^```$/gm, '');
    for (const [, link = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^(https?|mailto):/.test(link) || GENERATED.test(link)) continue;
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? inRoot(page) : join(dirname(inRoot(page)), path);
      assert.ok(existsSync(target), `${link} leads nowhere`);
      if (anchor === undefined) continue;
      assert.ok(statSync(target).isFile(), `${link} is a folder's`);
      assert.ok(anchors(readFileSync(target, 'utf8')).includes(anchor), `no heading ${link}`);
    }
  });
}

/**
 * @param {import('../../site/.vitepress/navigation.mjs').Item[]} items
 * @returns {string[]} the documents that they link to
 */
function linked(items) {
  return items.flatMap(({ link, items: inner = [] }) => [
    ...(link === undefined ? [] : [`docs${link.endsWith('/') ? `${link}README` : link}.md`]),
    ...linked(inner),
  ]);
}

it("the site's navigation has each page once, and no other", () => {
  const wanted = documents.filter((page) => page.startsWith('docs/') && !NOT_IN_NAVIGATION.test(page));
  assert.deepEqual(linked(sidebar).sort(), wanted.sort());
  for (const page of linked(navigation)) assert.ok(wanted.includes(page), page);
});
