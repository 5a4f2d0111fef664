// Bun 1.4.4: after an uncaught exception, the process continues until its event loop wakes up next, for up to 100 ms,
// if anything holds the loop: here a timer of a minute. Node exits at once. Prints how long it took.
//   bun scenarios/host-bugs/bun-waits-after-an-exception.mjs
setTimeout(() => {}, 60_000);
const thrownAt = performance.now();
process.on('exit', () => console.log(`exit after ${Math.round(performance.now() - thrownAt)} ms`));
setImmediate(() => {
  throw new Error('uncaught');
});
