import type { OcsfVersion } from "../../schema/ocsf-version.ts";
import { TABLE as V1_1_0 } from "./generated/ocsf-1.1.0.ts";
import { TABLE as V1_3_0 } from "./generated/ocsf-1.3.0.ts";
import { TABLE as V1_6_0 } from "./generated/ocsf-1.6.0.ts";
import { TABLE as V1_8_0 } from "./generated/ocsf-1.8.0.ts";

/** What one release of OCSF says of one attribute. */
export type AttributeDef = {
  /** name of a scalar type; of an object when `isObject` */
  readonly type: string;
  readonly isObject: boolean;
  readonly isArray: boolean;
  readonly isRequired: boolean;
  /** known only when one of these is named in `metadata.profiles`; undefined: always known */
  readonly profiles: readonly string[] | undefined;
  /** value to caption */
  readonly enum: Readonly<Record<string, string>> | undefined;
  /** attribute that holds the caption of this one's value */
  readonly sibling: string | undefined;
  /** values beyond the enumeration are permitted */
  readonly isOpenEnum: boolean;
  readonly isDeprecated: boolean;
};

export type ItemDef = {
  readonly name: string;
  readonly caption: string;
  /** profiles that a class offers */
  readonly profiles: readonly string[];
  /** `at_least_one` or `just_one` of the named attributes */
  readonly constraints: Readonly<Record<string, readonly string[]>>;
  readonly attributes: ReadonlyMap<string, AttributeDef>;
};

export type Primitive = "boolean_t" | "integer_t" | "long_t" | "float_t" | "json_t" | "string_t";
export type TypeDef = {
  readonly primitive: Primitive;
  readonly range: readonly [number, number] | undefined;
  readonly maxLength: number | undefined;
  readonly regex: RegExp | undefined;
};

export type SchemaTable = {
  readonly version: string;
  /** every profile of the release */
  readonly profiles: ReadonlySet<string>;
  readonly classes: ReadonlyMap<number, ItemDef>;
  readonly objects: ReadonlyMap<string, ItemDef>;
  readonly types: ReadonlyMap<string, TypeDef>;
};

type RawItem = {
  readonly uid?: number;
  readonly name: string;
  readonly caption?: string;
  readonly profiles?: readonly string[];
  readonly constraints?: ItemDef["constraints"];
  readonly attributes: string;
};
type RawType = {
  readonly name: string;
  readonly type?: string;
  readonly range?: [number, number];
  readonly max_len?: number;
  readonly regex?: string;
};
type RawTable = {
  readonly version: string;
  readonly profiles: readonly string[];
  readonly types: readonly RawType[];
  readonly enums: readonly Readonly<Record<string, string>>[];
  readonly classes: readonly RawItem[];
  readonly objects: readonly RawItem[];
};

const TEXTS: Readonly<Record<OcsfVersion, string>> = { "1.8.0": V1_8_0, "1.6.0": V1_6_0, "1.3.0": V1_3_0, "1.1.0": V1_1_0 };
const PRIMITIVES: ReadonlySet<string> = new Set(["boolean_t", "integer_t", "long_t", "float_t", "json_t", "string_t"]);

const tables = new Map<OcsfVersion, SchemaTable>();

/** The attribute table of a release, decoded at the first call. */
export function schemaTable(version: OcsfVersion): SchemaTable {
  let table = tables.get(version);
  if (table === undefined) {
    table = decode(JSON.parse(TEXTS[version]) as RawTable);
    tables.set(version, table);
  }
  return table;
}

function decode(raw: RawTable): SchemaTable {
  const item = ({ name, caption, profiles, constraints, attributes }: RawItem): ItemDef => ({
    name,
    caption: caption ?? name,
    profiles: profiles ?? [],
    constraints: constraints ?? {},
    attributes: new Map(attributes === "" ? [] : attributes.split(";").map((text) => attribute(text, raw.enums))),
  });
  return {
    version: raw.version,
    profiles: new Set(raw.profiles),
    classes: new Map(raw.classes.map((each) => [each.uid ?? 0, item(each)])),
    objects: new Map(raw.objects.map((each) => [each.name, item(each)])),
    types: new Map(raw.types.map((each) => [each.name, typeDef(each)])),
  };
}

/** `name type[] ! @profile,profile #enum >sibling ~ -`, as scripts/generate-ocsf.ts writes it; `{name}` is an object's type. */
function attribute(text: string, enums: RawTable["enums"]): readonly [string, AttributeDef] {
  const [name = "", type = "", ...marks] = text.split(" ");
  const marked = (mark: string): string | undefined => marks.find((each) => each.startsWith(mark))?.slice(1);
  const isArray = type.endsWith("[]");
  const bare = isArray ? type.slice(0, -2) : type;
  const isObject = bare.startsWith("{");
  const enumAt = marked("#");
  return [
    name,
    {
      type: isObject ? bare.slice(1, -1) : bare,
      isObject,
      isArray,
      isRequired: marks.includes("!"),
      profiles: marked("@")?.split(","),
      enum: enumAt === undefined ? undefined : enums[Number(enumAt)],
      sibling: marked(">"),
      isOpenEnum: marks.includes("~"),
      isDeprecated: marks.includes("-"),
    },
  ];
}

function typeDef({ name, type, range, max_len, regex }: RawType): TypeDef {
  const base = PRIMITIVES.has(name) ? name : (type ?? "string_t");
  return {
    primitive: (PRIMITIVES.has(base) ? base : "string_t") as Primitive,
    range,
    maxLength: max_len,
    regex: regex === undefined ? undefined : new RegExp(regex),
  };
}
