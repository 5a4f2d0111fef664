/** Keeps the event loop busy for so long, in ms. */
export function busyFor(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
