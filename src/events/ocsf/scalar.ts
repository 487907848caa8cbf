import type { AttributeDef, SchemaTable, TypeDef } from "./schema-table.ts";

/** Longer texts are not given to the schema's patterns, some of which take quadratic time; every pattern names something shorter. */
const MAX_MATCHED = 1024;

/** Why a scalar is none of its type; undefined when it is one. */
export function scalarFault(def: AttributeDef, value: unknown, table: SchemaTable): string | undefined {
  const type = table.types.get(def.type);
  if (type === undefined) return `type ${def.type} is not in the table`;
  if (!isPrimitive(type.primitive, value)) return `expected ${def.type}, got ${kindOf(value)}`;
  if (type.range !== undefined && (Number(value) < type.range[0] || Number(value) > type.range[1]))
    return `out of range ${type.range.join("-")}`;
  if (typeof value === "string") return textFault(def.type, type, value);
  return undefined;
}

/** Whether a value is one of the attribute's enumeration, or the attribute has none. */
export function isEnumerated(def: AttributeDef, value: unknown): boolean {
  return def.enum === undefined || def.isOpenEnum || Object.hasOwn(def.enum, String(value));
}

/** Whether an attribute is known with these profiles. */
export function isKnown(def: AttributeDef, profiles: ReadonlySet<string>): boolean {
  return def.profiles === undefined || def.profiles.some((name) => profiles.has(name));
}

/** The first constraint (`at_least_one`, `just_one`) or required attribute that an object breaks. */
export function itemFaults(
  item: { readonly constraints: Readonly<Record<string, readonly string[]>>; readonly attributes: ReadonlyMap<string, AttributeDef> },
  value: Readonly<Record<string, unknown>>,
  profiles: ReadonlySet<string>,
): readonly { readonly path: string; readonly message: string }[] {
  const faults: { path: string; message: string }[] = [];
  const has = (name: string): boolean => value[name] !== undefined && value[name] !== null;
  for (const [name, def] of item.attributes)
    if (def.isRequired && isKnown(def, profiles) && !has(name)) faults.push({ path: name, message: "required, missing" });
  for (const [kind, names] of Object.entries(item.constraints)) {
    const count = names.filter(has).length;
    if (kind === "at_least_one" ? count < 1 : count !== 1) faults.push({ path: "", message: `${kind}: ${names.join(", ")}` });
  }
  return faults;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isPrimitive(primitive: TypeDef["primitive"], value: unknown): boolean {
  switch (primitive) {
    case "boolean_t":
      return typeof value === "boolean";
    case "integer_t":
    case "long_t":
      return Number.isSafeInteger(value);
    case "float_t":
      return typeof value === "number";
    case "string_t":
      return typeof value === "string";
    case "json_t":
      return true;
    default:
      return primitive satisfies never;
  }
}

function textFault(name: string, { maxLength, regex }: TypeDef, value: string): string | undefined {
  if (maxLength !== undefined && value.length > maxLength) return `longer than ${maxLength}`;
  if (regex === undefined) return undefined;
  return value.length <= MAX_MATCHED && regex.test(value) ? undefined : `does not match ${name}`;
}

function kindOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "an array" : typeof value === "number" ? `number ${value}` : typeof value;
}
