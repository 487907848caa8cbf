/** ms of CPU time that work takes in this thread: what else the machine does is not in it, as it is in the time that passes. */
export function cpuMs(work: () => void): number {
  const before = process.threadCpuUsage();
  work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1000;
}
