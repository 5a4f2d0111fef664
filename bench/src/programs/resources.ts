/** What a process has used. */
export interface Resources {
  /** Of all its threads, since the measurement began. */
  readonly cpuSeconds: number;
  /** The most that it ever had, in MiB. */
  readonly maxRssMiB: number;
}

/** Begins to measure what this process uses; the function that it returns says how much that was. */
export function measureResources(): () => Resources {
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return {
      cpuSeconds: (user + system) / 1e6,
      maxRssMiB: process.resourceUsage().maxRSS / 1024,
    };
  };
}
