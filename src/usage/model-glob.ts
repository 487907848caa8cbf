/**
 * Does a model's name fit a pattern? `*` stands for any characters, case does not matter. Linear in the name's length, whatever the
 * pattern (a model's name is the caller's to choose).
 */
export function matchesModel(pattern: string, model: string): boolean {
  const parts = pattern.toLowerCase().split("*");
  const name = model.toLowerCase();
  const [first = ""] = parts;
  if (parts.length === 1) return name === first;
  const last = parts.at(-1) ?? "";
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}

const DATED = /[-@](?:\d{8}|\d{4}-\d{2}-\d{2})$/;

/**
 * A model as a list of permitted and forbidden ones may name it: as sent, without its date, and without the names before a slash.
 * Aliases are strings like all others; no catalogue decides.
 */
export function modelNames(model: string): readonly string[] {
  const names = new Set<string>();
  for (const name of [model, model.split("/").at(-1) ?? model]) {
    names.add(name);
    names.add(name.replace(DATED, ""));
  }
  names.delete("");
  return [...names];
}

export type ModelRules = { readonly allow: readonly string[]; readonly deny: readonly string[] };

export type ModelVerdict = { readonly verdict: "allow" | "deny"; readonly pattern: string | null };

/**
 * May this model be called? A deny that fits any of its names wins; with an allow list the model must be named by it. A request that
 * names no model passes only where no list says anything.
 */
export function decideModel(model: string | null, rules: ModelRules): ModelVerdict {
  const names = model === null ? [] : modelNames(model);
  const fits = (patterns: readonly string[]): string | null =>
    patterns.find((pattern) => names.some((name) => matchesModel(pattern, name))) ?? null;
  const denied = fits(rules.deny);
  if (denied !== null) return { verdict: "deny", pattern: denied };
  if (names.length === 0 && rules.deny.length > 0) return { verdict: "deny", pattern: null };
  if (rules.allow.length === 0) return { verdict: "allow", pattern: null };
  const allowed = fits(rules.allow);
  return { verdict: allowed === null ? "deny" : "allow", pattern: allowed };
}
