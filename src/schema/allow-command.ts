/**
 * The one command that allows what was denied. `target` is a host, with its port where the rule would not cover it by itself;
 * `sandbox` the name of one that keeps running, absent for one that ends with its command.
 */
export function allowCommand(target: string, sandbox: string | undefined): string {
  return sandbox === undefined ? `agentkernel run --allow ${target} …` : `agentkernel policy allow ${target} --sandbox ${sandbox}`;
}
