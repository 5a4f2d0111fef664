// @ts-check
import { inCache, inRoot } from '../lib/paths.mjs';
import { notice } from '../lib/step.mjs';
import { buildGoProgram, hasGo } from '../provide/go.mjs';

/** Where the judge of the nemesis is, once built. */
export const judge = inCache('nemesis', 'judge');

/** Builds the judge of the nemesis. @returns {Promise<boolean>} false without Go */
export async function buildJudge() {
  if (!hasGo()) {
    notice('Go is missing: there is no judge for the nemesis');
    return false;
  }
  await buildGoProgram(
    'build the judge of the nemesis (Go)',
    inRoot('scenarios', 'nemesis', 'judge'),
    judge,
    'is Go new enough?',
  );
  return true;
}
