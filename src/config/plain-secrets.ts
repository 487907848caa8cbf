/** Keys whose value is a secret when it is a text, and those whose texts below all are. */
const SECRET_KEYS = new Set(["authorization", "token", "api_key", "secret"]);
const SECRET_TABLES = new Set(["headers", "secrets"]);

const HIDDEN = "[secret]";

/** A value of the configuration as it may be shown: secrets that stand in it as texts are hidden, references are not. */
export function hideSecrets(value: unknown): unknown {
  return walk(value, "", false, () => HIDDEN);
}

/** Keys below `root` at which a secret stands as a text instead of as a reference. */
export function plainSecrets(root: string, value: unknown): readonly string[] {
  const found: string[] = [];
  walk(value, root, false, (path) => {
    found.push(path);
    return HIDDEN;
  });
  return found;
}

function walk(value: unknown, path: string, isSecret: boolean, hide: (path: string) => string): unknown {
  if (typeof value === "string") return isSecret ? hide(path) : value;
  if (Array.isArray(value)) return value.map((part, at) => walk(part, `${path}[${at}]`, isSecret, hide));
  if (typeof value !== "object" || value === null) return value;
  if (isReference(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, part]) => [
      key,
      walk(part, path === "" ? key : `${path}.${key}`, isSecret || SECRET_KEYS.has(key) || SECRET_TABLES.has(key), hide),
    ]),
  );
}

function isReference(value: object): boolean {
  const [key, ...more] = Object.keys(value);
  return more.length === 0 && key !== undefined && ["env", "file", "command", "vault"].includes(key);
}
