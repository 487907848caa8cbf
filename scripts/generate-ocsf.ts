import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OCSF_VERSIONS } from "../src/schema/ocsf-version.ts";

/**
 * Writes src/events/ocsf/generated/*.ts, the attribute tables of the OCSF releases that we write, out of compiled schemas
 * (`ocsf-X.Y.Z.json`, as ocsf-schema-compiler prints them): `node scripts/generate-ocsf.ts FOLDER`
 */

type SourceAttribute = {
  readonly type: string;
  readonly object_type?: string;
  readonly is_array?: boolean;
  readonly requirement?: string;
  readonly profiles?: readonly string[] | null;
  readonly sibling?: string;
  readonly enum?: Readonly<Record<string, { readonly caption: string }>>;
  readonly suppress_checks?: readonly string[];
  readonly "@deprecated"?: unknown;
};
type SourceItem = {
  readonly uid?: number;
  readonly name: string;
  readonly caption: string;
  readonly profiles?: readonly string[] | null;
  readonly constraints?: Readonly<Record<string, readonly string[]>> | null;
  readonly attributes: Readonly<Record<string, SourceAttribute>>;
};
type SourceType = { readonly type?: string; readonly range?: readonly number[]; readonly max_len?: number; readonly regex?: string };
type Source = {
  readonly version: string;
  readonly dictionary: { readonly types: { readonly attributes: Readonly<Record<string, SourceType>> } };
  readonly classes: Readonly<Record<string, SourceItem>>;
  readonly objects: Readonly<Record<string, SourceItem>>;
  readonly profiles: Readonly<Record<string, unknown>>;
};

/** The classes that our events become. */
const CLASSES = new Set([1001, 1007, 1008, 2004, 3002, 3004, 4001, 4002, 4003, 6002, 6003]);

/** The objects that our events are made of. Others stay out of the table, and the validator refuses what uses one. */
const OBJECTS = [
  "actor",
  "ai_model",
  "analytic",
  "api",
  "application",
  "authentication_token",
  "authorization",
  "container",
  "device",
  "dns_query",
  "evidences",
  "feature",
  "file",
  "finding_info",
  "firewall_rule",
  "http_request",
  "http_response",
  "image",
  "managed_entity",
  "message_context",
  "metadata",
  "network_connection_info",
  "network_endpoint",
  "network_proxy",
  "network_traffic",
  "object",
  "organization",
  "policy",
  "process",
  "product",
  "related_event",
  "request",
  "resource_details",
  "response",
  "service",
  "url",
  "user",
];

/** The text of one generated module. */
export function renderTable(sourceText: string): string {
  const source = JSON.parse(sourceText) as Source;
  const enums: string[] = [];
  const enumIndex = (values: NonNullable<SourceAttribute["enum"]>): number => {
    const text = JSON.stringify(
      Object.fromEntries(
        Object.keys(values)
          .sort(numerically)
          .map((key) => [key, values[key]?.caption ?? ""]),
      ),
    );
    const at = enums.indexOf(text);
    return at === -1 ? enums.push(text) - 1 : at;
  };
  const attribute = ([name, def]: readonly [string, SourceAttribute]): string =>
    [
      name,
      `${def.type === "object_t" ? `{${def.object_type ?? ""}}` : def.type}${def.is_array === true ? "[]" : ""}`,
      ...(def.requirement === "required" ? ["!"] : []),
      ...(def.profiles == null ? [] : [`@${[...def.profiles].sort().join(",")}`]),
      ...(def.enum === undefined ? [] : [`#${enumIndex(def.enum)}`]),
      ...(def.sibling === undefined ? [] : [`>${def.sibling}`]),
      ...(def.suppress_checks?.includes("enum_value") ? ["~"] : []),
      ...(def["@deprecated"] === undefined ? [] : ["-"]),
    ].join(" ");
  const attributes = (item: SourceItem): string => Object.entries(item.attributes).sort(byKey).map(attribute).join(";");
  const constraints = (item: SourceItem): object =>
    item.constraints == null || Object.keys(item.constraints).length === 0 ? {} : { constraints: item.constraints };

  const classes = Object.values(source.classes)
    .filter(({ uid }) => uid !== undefined && CLASSES.has(uid))
    .sort((a, b) => (a.uid ?? 0) - (b.uid ?? 0))
    .map((item) => {
      const { uid, name, caption } = item;
      return { uid, name, caption, profiles: [...(item.profiles ?? [])].sort(), ...constraints(item), attributes: attributes(item) };
    });
  const objects = OBJECTS.flatMap((name) => {
    const item = source.objects[name];
    return item === undefined ? [] : [{ name, ...constraints(item), attributes: name === "object" ? "" : attributes(item) }];
  });
  const used = new Set(
    [...classes, ...objects].flatMap((item) => item.attributes.split(";").map((text) => text.split(" ")[1]?.replace("[]", "") ?? "")),
  );
  const types = Object.entries(source.dictionary.types.attributes)
    .filter(([name]) => used.has(name))
    .sort(byKey)
    .map(([name, { type, range, max_len, regex }]) => ({ name, type, range, max_len, regex }));

  const lines = (items: readonly (object | string)[]): string =>
    `[\n${items.map((item) => (typeof item === "string" ? item : JSON.stringify(item))).join(",\n")}\n]`;
  const profiles = JSON.stringify(Object.keys(source.profiles).sort());
  const json = `{"version":${JSON.stringify(source.version)},\n"profiles":${profiles},\n"types":${lines(types)},\n"enums":${lines(enums)},\n"classes":${lines(classes)},\n"objects":${lines(objects)}}`;
  const raw = json.replaceAll("`", "\\u0060").replaceAll("${", "\\u0024{");
  return `// Generated by scripts/generate-ocsf.ts from the OCSF schema ${source.version}. Do not edit.\nexport const TABLE = String.raw\`${raw}\`;\n`;
}

export function tablePath(version: string): URL {
  return new URL(`../src/events/ocsf/generated/ocsf-${version}.ts`, import.meta.url);
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function numerically(a: string, b: string): number {
  return Number(a) - Number(b) || (a < b ? -1 : 1);
}

if (import.meta.main) {
  const folder = process.argv[2];
  if (folder === undefined) throw new Error("usage: node scripts/generate-ocsf.ts FOLDER (with ocsf-X.Y.Z.json)");
  for (const version of OCSF_VERSIONS)
    writeFileSync(tablePath(version), renderTable(readFileSync(join(folder, `ocsf-${version}.json`), "utf8")));
}
