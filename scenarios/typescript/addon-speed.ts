// addon-speed.js ADDON AT_ONCE SECONDS: awaits an addon's promises, AT_ONCE at a time, and prints JSON.
import { load } from './addon.js';

const [name = '', atOnceText, secondsText] = process.argv.slice(2);
const addon = load(name);
const atOnce = Number(atOnceText);
const seconds = Number(secondsText);

async function turn(first: number): Promise<void> {
  const got = await Promise.all(Array.from({ length: atOnce }, (_, i) => addon.soon(first + i)));
  if (got.some((number, i) => number !== first + i)) throw new Error('a promise had the result of another');
}

async function during(length: number): Promise<number> {
  const end = performance.now() + length * 1000;
  let count = 0;
  while (performance.now() < end) {
    await turn(count);
    count += atOnce;
  }
  return count;
}

await during(seconds / 5);
const start = performance.now();
const cpuBefore = process.cpuUsage();
const count = await during(seconds);
const wallSeconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
console.log(JSON.stringify({ count, wallSeconds, cpuSeconds: (user + system) / 1e6 }));
