/** A value of JSON, as `JSON.parse` gives it. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** What a JSON pointer (RFC 6901) leads to; undefined when there is nothing. */
export function valueAt(root: Json, pointer: string): Json | undefined {
  let value: Json | undefined = root;
  for (const step of stepsOf(pointer)) value = child(value, step);
  return value;
}

/** The same with another value there. Unchanged when the object that would hold it does not exist. */
export function withValueAt(root: Json, pointer: string, value: Json): Json {
  return put(root, stepsOf(pointer), value);
}

/** The same with every string replaced by what `change` makes of it. */
export function mapStrings(root: Json, change: (text: string, pointer: string) => string, pointer = ""): Json {
  if (typeof root === "string") return change(root, pointer);
  if (isList(root)) return root.map((item, at) => mapStrings(item, change, `${pointer}/${at}`));
  if (!isObject(root)) return root;
  return Object.fromEntries(
    Object.entries(root).map(([key, item]) => [
      key,
      mapStrings(item, change, `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`),
    ]),
  );
}

export function isObject(value: Json | undefined): value is { readonly [key: string]: Json } {
  return typeof value === "object" && value !== null && !isList(value);
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

function stepsOf(pointer: string): readonly string[] {
  return pointer
    .split("/")
    .slice(1)
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function child(value: Json | undefined, step: string): Json | undefined {
  if (isList(value)) return /^(?:0|[1-9][0-9]*)$/.test(step) ? value[Number(step)] : undefined;
  return isObject(value) && Object.hasOwn(value, step) ? value[step] : undefined;
}

function put(root: Json, steps: readonly string[], value: Json): Json {
  const [step, ...rest] = steps;
  if (step === undefined) return value;
  if (isList(root)) return root.map((item, at) => (String(at) === step ? put(item, rest, value) : item));
  if (!isObject(root)) return root;
  const before = child(root, step);
  if (before === undefined && rest.length > 0) return root;
  return Object.fromEntries([...Object.entries(root).filter(([key]) => key !== step), [step, put(before ?? null, rest, value)]]);
}
