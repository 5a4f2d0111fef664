/** The resources that a process has used. */
export interface Resources {
  /** For all its threads, since the measurement began. */
  readonly cpuSeconds: number;
  /** The highest value so far, in MiB. */
  readonly maxRssMiB: number;
}

/** Begins to measure what this process uses. The returned function returns the result. */
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
