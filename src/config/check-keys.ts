import { z } from "zod";
import { isLaterKey, LATER_VALUES } from "../schema/later-config.ts";
import type { RawTable } from "./parse-toml.ts";

/** What is wrong with a configuration, without the file it stands in: `key` is dotted, `egress.rules[2].host`. */
export type Fault = { readonly key: string; readonly message: string; readonly hint: string };

export type KeyPath = readonly (string | number)[];

/** The first key or value of a later version, wherever it stands: said before anything else, since it is no mistake of spelling. */
export function findLater(raw: RawTable): Fault | undefined {
  return walk(raw, [], (path, value) => {
    const key = path.filter((part) => typeof part === "string");
    if (isLaterKey(key))
      return { key: formatKey(path), message: "is not available in this version", hint: "remove it; nothing else stands in for it yet" };
    if (typeof value === "string" && LATER_VALUES[key.join(".")]?.includes(value) === true) {
      return {
        key: formatKey(path),
        message: `${JSON.stringify(value)} is not available in this version`,
        hint: "remove it, or name one that docs/reference/config.md lists",
      };
    }
    return undefined;
  });
}

/** Keys that the schema has at a place, for "did you mean". */
export function knownKeysAt(path: KeyPath, schema: z.ZodType): readonly string[] {
  let at: unknown = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
  const root = at;
  for (const part of path) at = child(resolve(at, root), part);
  const properties = property(resolve(at, root), "properties");
  return typeof properties === "object" && properties !== null ? Object.keys(properties) : [];
}

export function formatKey(path: KeyPath): string {
  return path
    .map((part, at) =>
      typeof part === "number" ? `[${part}]` : `${at === 0 ? "" : "."}${/^[\w-]+$/.test(part) ? part : JSON.stringify(part.slice(0, 60))}`,
    )
    .join("");
}

function walk(value: unknown, path: KeyPath, visit: (path: KeyPath, value: unknown) => Fault | undefined): Fault | undefined {
  if (path.length > 0) {
    const found = visit(path, value);
    if (found !== undefined) return found;
  }
  if (typeof value !== "object" || value === null || path.length > 8) return undefined;
  for (const [key, part] of Object.entries(value)) {
    const found = walk(part, [...path, Array.isArray(value) ? Number(key) : key], visit);
    if (found !== undefined) return found;
  }
  return undefined;
}

function child(schema: unknown, part: string | number): unknown {
  if (typeof part === "number") return property(schema, "items");
  return property(property(schema, "properties"), part) ?? property(schema, "additionalProperties");
}

function resolve(schema: unknown, root: unknown): unknown {
  const reference = property(schema, "$ref");
  if (typeof reference !== "string") return schema;
  return reference.split("/").slice(1).reduce<unknown>(property, root);
}

function property(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined;
}
