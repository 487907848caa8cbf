import { OCSF_VERSIONS, type OcsfVersion } from "../../schema/ocsf-version.ts";
import { isEnumerated, isKnown, isRecord, itemFaults, scalarFault } from "./scalar.ts";
import { type AttributeDef, type ItemDef, type SchemaTable, schemaTable } from "./schema-table.ts";

export type OcsfProblem = {
  /** where in the event, such as `actor.user.email_addr`; "" is the event */
  readonly path: string;
  readonly message: string;
  /** a warning is what the schema permits and readers stumble over: a wrong caption, a profile that the class does not offer */
  readonly level: "error" | "warning";
};

type Add = (path: string, message: string, level?: OcsfProblem["level"]) => void;

/**
 * Holds an event against the attribute table of the OCSF release that its `metadata.version` names (or `version`): required and
 * unknown attributes, profiles, types, enumerations and their captions, constraints, `type_uid`. No problem: a valid event.
 */
export function validateOcsf(event: unknown, version?: OcsfVersion): readonly OcsfProblem[] {
  const problems: OcsfProblem[] = [];
  const add: Add = (path, message, level = "error") => problems.push({ path, message, level });
  if (!isRecord(event)) return [{ path: "", message: "not an object", level: "error" }];
  const metadata = isRecord(event["metadata"]) ? event["metadata"] : {};
  const wanted = version ?? OCSF_VERSIONS.find((each) => each === metadata["version"]);
  if (wanted === undefined) return [{ path: "metadata.version", message: `none of ${OCSF_VERSIONS.join(", ")}`, level: "error" }];
  const table = schemaTable(wanted);
  if (metadata["version"] !== wanted) add("metadata.version", `${String(metadata["version"])} against schema ${wanted}`, "warning");

  const { class_uid: classUid, activity_id: activityId } = event;
  const item = typeof classUid === "number" ? table.classes.get(classUid) : undefined;
  if (item === undefined || typeof classUid !== "number") {
    add("class_uid", `class ${String(classUid)} is not in the table`);
    return problems;
  }
  const profiles = new Set(Array.isArray(metadata["profiles"]) ? metadata["profiles"].map(String) : []);
  for (const profile of profiles) {
    if (!table.profiles.has(profile)) add("metadata.profiles", `unknown ${profile}`);
    else if (!item.profiles.includes(profile)) add("metadata.profiles", `${profile} is not offered by ${item.name}`, "warning");
  }
  validateItem(item, event, "", profiles, table, add);
  const typeUid = classUid * 100 + Number(activityId);
  if (event["type_uid"] !== typeUid) add("type_uid", `should be ${typeUid}`);
  return problems;
}

function validateItem(
  item: ItemDef,
  value: Readonly<Record<string, unknown>>,
  path: string,
  profiles: ReadonlySet<string>,
  table: SchemaTable,
  add: Add,
): void {
  for (const fault of itemFaults(item, value, profiles)) add(fault.path === "" ? path.slice(0, -1) : path + fault.path, fault.message);
  // the free-form object: `unmapped`
  if (item.name === "object") return;
  for (const [name, each] of Object.entries(value)) {
    const def = item.attributes.get(name);
    const at = path + name;
    if (def === undefined) {
      add(at, "unknown attribute");
    } else if (!isKnown(def, profiles)) {
      add(at, `needs profile ${def.profiles?.join(" or ")}`);
    } else if (def.isArray !== Array.isArray(each) && def.type !== "json_t") {
      add(at, def.isArray ? "not an array" : "array");
    } else {
      if (def.isDeprecated) add(at, "deprecated", "warning");
      const parts =
        def.isArray && Array.isArray(each) ? each.map((part, index) => [`${at}[${index}]`, part] as const) : [[at, each] as const];
      for (const [where, part] of parts) validateValue(def, part, where, profiles, table, add);
      validateCaption(def, name, value, at, add);
    }
  }
}

function validateValue(def: AttributeDef, value: unknown, path: string, profiles: ReadonlySet<string>, table: SchemaTable, add: Add): void {
  if (!def.isObject) {
    const fault = scalarFault(def, value, table);
    if (fault !== undefined) add(path, fault);
    if (!isEnumerated(def, value)) add(path, `not in enum: ${String(value)}`);
    return;
  }
  const object = table.objects.get(def.type);
  if (!isRecord(value)) add(path, "not an object");
  else if (object === undefined) add(path, `object ${def.type} is not in the table`);
  else validateItem(object, value, `${path}.`, profiles, table, add);
}

function validateCaption(def: AttributeDef, name: string, value: Readonly<Record<string, unknown>>, path: string, add: Add): void {
  const caption = def.enum?.[String(value[name])];
  const said = def.sibling === undefined ? undefined : value[def.sibling];
  if (def.isArray || caption === undefined || said === undefined || said === null || value[name] === 99) return;
  if (said !== caption) add(path, `sibling ${def.sibling} should be "${caption}"`, "warning");
}
