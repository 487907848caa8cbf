/**
 * Keys of the contract that this version does not have yet. They are refused by name: a setting that is read and does nothing would
 * be trusted. A version that implements one moves it into `config.ts`. `*` stands for any one key or index.
 */
export const LATER_KEYS: readonly string[] = [
  "server.tls",
  "server.keys",
  "server.oidc",
  "sandbox.template",
  "audit.checkpoint",
  "pool",
  "nomad",
  "opencode",
];

/** Values of the contract that this version does not have yet, by key. */
export const LATER_VALUES: Readonly<Record<string, readonly string[]>> = {
  "sandbox.backend": ["docker", "nomad", "qemu"],
};

export function isLaterKey(path: readonly (string | number)[]): boolean {
  return LATER_KEYS.some((key) => {
    const wanted = key.split(".");
    return wanted.length === path.length && wanted.every((part, at) => part === "*" || part === String(path[at]));
  });
}
