import fc from "fast-check";
import type { z } from "zod";
import { type Event, event } from "../../src/schema/event.ts";

/** Events of every kind out of the zod schemas themselves: every operation, every optional field present and absent. */

type Def = {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly innerType?: z.ZodType;
  readonly element?: z.ZodType;
  readonly entries?: Readonly<Record<string, string>>;
  readonly values?: readonly unknown[];
  readonly options?: readonly z.ZodType[];
};

const wire = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: "grapheme", maxLength: 20 }),
  fc.constantFrom("", " ", "constructor", "__proto__", "null", "99"),
);
const host = fc.oneof(
  fc.domain(),
  fc.ipV4(),
  fc.ipV6(),
  fc.ipV6().map((ip) => `[${ip}]`),
  fc.constantFrom("_srv._tcp.example.com", "", "xn--bcher-kva.example", "a".repeat(300), "fe80::1%eth0", "-bad-.example"),
);
const integer = fc.oneof(fc.integer({ min: 0, max: 70_000 }), fc.maxSafeNat());

/** Fields whose text means something; the rest are any text. */
const FIELDS: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  id: fc.stringMatching(/^evt_[0-9a-z]{24}$/),
  timestamp: fc.date({ min: new Date(0), max: new Date(4e12), noInvalidDate: true }).map((date) => date.toISOString()),
  host,
  address: fc.oneof(host, wire),
  ip_address: fc.oneof(host, wire),
  email: fc.oneof(fc.emailAddress(), wire),
  method: fc.constantFrom("GET", "POST", "PATCH", "HEAD", "CONNECT", "get", "PROPFIND", "M-SEARCH", "toString", ""),
  url: fc.oneof(
    fc.webUrl({ withQueryParameters: true, withFragments: true }),
    wire,
    host.map((name) => `https://${name}:8443/p?q=[redacted]`),
  ),
  path: fc.oneof(fc.webPath(), wire, fc.constantFrom("/", "")),
  rule: fc.constantFrom("default", "address", "identity", "protocol", "allow-npm", ""),
};

export function eventArbitrary(): fc.Arbitrary<Event> {
  return fc.oneof(...event.options.map((option) => eventOf(option)));
}

/** One arbitrary for each kind of event, by its `type`. */
export function eventArbitraries(): ReadonlyMap<Event["type"], fc.Arbitrary<Event>> {
  return new Map(event.options.map((option) => [[...option.shape.type.values][0] as Event["type"], eventOf(option)]));
}

function eventOf(option: z.ZodType): fc.Arbitrary<Event> {
  return of(option, "") as fc.Arbitrary<Event>;
}

function of(schema: z.ZodType, name: string): fc.Arbitrary<unknown> {
  const def = schema.def as unknown as Def;
  switch (def.type) {
    case "object":
      return objectOf(def.shape ?? {});
    case "string":
      return FIELDS[name] ?? wire;
    case "literal":
      return fc.constantFrom(...(def.values ?? []));
    case "enum":
      // `method` of an authentication is one of a few, of an exchange it is the sandbox's word
      return fc.constantFrom(...Object.values(def.entries ?? {}));
    case "boolean":
      return fc.boolean();
    case "number":
      return numberOf(schema);
    case "nullable":
      return fc.option(of(def.innerType as z.ZodType, name), { nil: null, freq: 3 });
    case "array":
      return fc.array(of(def.element as z.ZodType, name), { maxLength: 4 });
    case "record":
      return fc.dictionary(fc.string({ minLength: 1, maxLength: 12 }), wire, { maxKeys: 3 });
    default:
      throw new Error(`no arbitrary for a schema of type ${def.type} at ${name}`);
  }
}

function objectOf(shape: Readonly<Record<string, z.ZodType>>): fc.Arbitrary<unknown> {
  const isOptional = (schema: z.ZodType): boolean => (schema.def as unknown as Def).type === "optional";
  const fields = Object.entries(shape).map(([name, schema]) => {
    const inner = isOptional(schema) ? ((schema.def as unknown as Def).innerType as z.ZodType) : schema;
    return [name, of(inner, name)] as const;
  });
  const requiredKeys = Object.entries(shape)
    .filter(([, schema]) => !isOptional(schema))
    .map(([name]) => name);
  return fc.record(Object.fromEntries(fields), { requiredKeys });
}

/** Whatever the schema permits of whole numbers and fractions, also past what OCSF can hold. */
function numberOf(schema: z.ZodType): fc.Arbitrary<number> {
  const candidates = fc.oneof(
    integer,
    fc.double({ min: 0, max: 1e9, noNaN: true }),
    fc.constantFrom(0, 1, -1, 1e300, 65_536, 443, 2 ** 53 - 1),
  );
  return candidates.filter((value) => schema.safeParse(value).success);
}
