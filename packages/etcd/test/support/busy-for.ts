/** Keeps the event loop busy for this long, in ms. */
export function busyFor(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}
