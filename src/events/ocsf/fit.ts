import type { OcsfVersion } from "../../schema/ocsf-version.ts";
import type { Attributes, OcsfEvent } from "./ocsf-event.ts";
import { type Reclassed, reclass } from "./reclass.ts";
import { isEnumerated, isKnown, isRecord, itemFaults, scalarFault } from "./scalar.ts";
import { type AttributeDef, type ItemDef, type SchemaTable, schemaTable } from "./schema-table.ts";

/** In every OCSF enumeration of integers: none of the named ones, the sibling attribute says which. */
const OTHER = 99;

/**
 * Makes an event one of the given release, by that release's table: captions are filled in; what the release does not know at a
 * place (attributes, profiles, values) moves to `unmapped.downgraded.<path>`, array items by their index; a value that an
 * enumeration lacks becomes 99 with its caption beside it; a class that the release lacks, or that cannot be filled there,
 * becomes another one.
 */
export function fitTo(version: OcsfVersion, event: OcsfEvent): OcsfEvent {
  const table = schemaTable(version);
  const item = table.classes.get(event.class_uid);
  const fitted = item === undefined ? undefined : fitEvent(event, item, table);
  if (fitted !== undefined) return fitted;
  const other = reclass(event);
  const otherItem = table.classes.get(other.event.class_uid);
  const fittedOther = otherItem === undefined ? undefined : fitEvent(other.event, otherItem, table, other.was);
  // every release has the classes that `reclass` answers, and our events fill them: the property tests hold this
  if (fittedOther === undefined) throw new RangeError(`an event of class ${event.class_uid} cannot be written in OCSF ${version}`);
  return fittedOther;
}

function fitEvent(event: OcsfEvent, item: ItemDef, table: SchemaTable, was: Reclassed["was"] = {}): OcsfEvent | undefined {
  const profiles = (event.metadata.profiles ?? []).filter((name) => item.profiles.includes(name)).sort();
  const { unmapped, ...mapped } = event;
  const prepared = { ...mapped, metadata: { ...event.metadata, version: table.version, profiles } };
  const activity = item.attributes.get("activity_id");
  const activityId = activity !== undefined && isEnumerated(activity, event.activity_id) ? event.activity_id : OTHER;
  const { kept, moved } = fitItem({ ...prepared, type_uid: event.class_uid * 100 + activityId }, item, new Set(profiles), table);
  const downgraded = merge(isRecord(unmapped?.["downgraded"]) ? unmapped["downgraded"] : {}, { ...was, ...moved });
  const rest = { ...unmapped, ...(Object.keys(downgraded).length === 0 ? {} : { downgraded }) };
  if (kept === undefined) return undefined;
  return { ...kept, ...(Object.keys(rest).length === 0 ? {} : { unmapped: rest }) } as OcsfEvent;
}

type Fitted = {
  /** undefined: it cannot be what the release demands of it */
  readonly kept: Attributes | undefined;
  readonly moved: Attributes;
};

function fitItem(value: Attributes, item: ItemDef, profiles: ReadonlySet<string>, table: SchemaTable): Fitted {
  const kept: Record<string, unknown> = {};
  const moved: Record<string, unknown> = {};
  for (const [name, each] of Object.entries(value)) {
    const def = item.attributes.get(name);
    if (def === undefined || !isKnown(def, profiles) || (def.isArray !== Array.isArray(each) && def.type !== "json_t")) {
      moved[name] = each;
    } else if (def.isArray && Array.isArray(each)) {
      fitArray(name, each, def, { kept, moved }, profiles, table);
    } else {
      const fitted = fitValue(def, each, profiles, table);
      if (fitted.moved !== undefined) moved[name] = fitted.moved;
      // a caption that an earlier attribute brought stays
      if (fitted.kept !== undefined && !(name in kept)) kept[name] = fitted.kept;
      fitCaption(def, name, value, item, { kept, moved }, profiles);
    }
  }
  return { kept: itemFaults(item, kept, profiles).length === 0 ? kept : undefined, moved };
}

type Parts = { readonly kept: Record<string, unknown>; readonly moved: Record<string, unknown> };

/** Items that do not fit move under their index; an array of which none fits moves whole. */
function fitArray(
  name: string,
  items: readonly unknown[],
  def: AttributeDef,
  parts: Parts,
  profiles: ReadonlySet<string>,
  table: SchemaTable,
): void {
  const fitted = items.map((item) => fitValue(def, item, profiles, table));
  const kept = fitted.flatMap((item) => (item.kept === undefined ? [] : [item.kept]));
  if (kept.length > 0) parts.kept[name] = kept;
  const moved = fitted.flatMap((item, index) => (item.moved === undefined ? [] : [[String(index), item.moved] as const]));
  if (moved.length > 0) parts.moved[name] = kept.length === 0 ? items : Object.fromEntries(moved);
}

type FittedValue = { readonly kept?: unknown; readonly moved?: unknown };

function fitValue(def: AttributeDef, value: unknown, profiles: ReadonlySet<string>, table: SchemaTable): FittedValue {
  if (!def.isObject) {
    if (scalarFault(def, value, table) !== undefined) return { moved: value };
    if (isEnumerated(def, value)) return { kept: value };
    return def.sibling !== undefined && Object.hasOwn(def.enum ?? {}, OTHER) ? { kept: OTHER } : { moved: value };
  }
  const object = table.objects.get(def.type);
  if (object === undefined || !isRecord(value)) return { moved: value };
  const { kept, moved } = fitItem(value, object, profiles, table);
  if (kept === undefined || Object.keys(kept).length === 0) return { moved: value };
  return Object.keys(moved).length === 0 ? { kept } : { kept, moved };
}

/** The caption beside an enumerated value: the release's own, or for 99 what the event said. */
function fitCaption(
  def: AttributeDef,
  name: string,
  value: Attributes,
  item: ItemDef,
  { kept }: Parts,
  profiles: ReadonlySet<string>,
): void {
  const id = kept[name];
  const sibling = def.sibling === undefined ? undefined : item.attributes.get(def.sibling);
  if (def.sibling === undefined || sibling === undefined || def.enum === undefined || typeof id !== "number" || !isKnown(sibling, profiles))
    return;
  const caption = def.enum[id];
  const said = value[def.sibling];
  kept[def.sibling] = id === OTHER && typeof said === "string" ? said : (caption ?? said);
}

function merge(a: Attributes, b: Attributes): Attributes {
  const out: Record<string, unknown> = { ...a };
  for (const [name, value] of Object.entries(b)) {
    const before = out[name];
    out[name] = isRecord(before) && isRecord(value) ? merge(before, value) : value;
  }
  return out;
}
