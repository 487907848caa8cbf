import type { PathNode } from "../json/paths.ts";
import type { Usage } from "../../schema/usage.ts";
import type { ShapeId } from "../types.ts";
import { asName, MergedFields, type Fields } from "./fields.ts";
import type { ReaderOptions, ReaderResult, RequestFact, ResponseReader, Shape, SlotPaths } from "./shape.ts";
import { responsePaths } from "./slots.ts";

/** A wire format that is told by a table: which paths hold what, and how its numbers are meant. */
export type ShapeTable = {
  readonly id: ShapeId;
  readonly request: Readonly<Record<string, RequestFact>>;
  readonly response: {
    /** objects whose fields are kept, later ones over earlier ones */
    readonly usage?: readonly string[];
    /** the same, but its output is only a first guess that the stream is going to replace */
    readonly start?: readonly string[];
    /** single values that are kept as fields: name → paths */
    readonly fields?: SlotPaths;
    /** values that are counted, as fields: name → paths */
    readonly counts?: SlotPaths;
    readonly model?: readonly string[];
    readonly id?: readonly string[];
    readonly tier?: readonly string[];
    /** a value other than null and false here says that the answer is over */
    readonly finish?: readonly string[];
    /** a value other than null here says that the call failed */
    readonly error?: readonly string[];
    /** text that the model streams, for estimates */
    readonly text?: readonly string[];
  };
  /** the fields of the usage objects that mean something */
  readonly fields: readonly string[];
  readonly streamsByDefault?: true;
  readonly unwrapsArray?: true;
  /** the tier that such calls are billed at, whatever the answer says */
  readonly tierIs?: string;
  /** the usage is the last thing that comes */
  readonly usageEnds?: true;
  /** does the finish value say that it is over? default: any does */
  isOver?(finish: unknown): boolean;
  /** null when the fields hold no usage */
  toUsage(fields: Fields, options: ReaderOptions): Usage | null;
  /** usage of an answer that stated none in its body */
  withoutFields?(options: ReaderOptions): Usage | null;
  /** the answer failed, by its finish value */
  isFailure?(finish: unknown): boolean;
  /** accepted, usage comes with a later fetch */
  isPending?(finish: unknown): boolean;
};

export function shapeOf(table: ShapeTable): Shape {
  const {
    usage = [],
    start = [],
    fields = {},
    counts = {},
    model = [],
    id = [],
    tier = [],
    finish = [],
    error = [],
    text = [],
  } = table.response;
  const slots: Record<string, readonly string[]> = { usage, start, model, id, tier, finish, error };
  for (const [name, paths] of Object.entries(fields)) slots[FIELD + name] = paths;
  const counted: Record<string, readonly string[]> = {};
  for (const [name, paths] of Object.entries(counts)) counted[FIELD + name] = paths;
  const response: PathNode = responsePaths(slots, text, { unwrapsArray: table.unwrapsArray ?? false, counts: counted });
  return {
    id: table.id,
    request: table.request,
    response,
    ...(table.streamsByDefault === undefined ? {} : { streamsByDefault: table.streamsByDefault }),
    read: (options) => new TableReader(table, options),
  };
}

/** slots that are one field each */
const FIELD = "field ";

class TableReader implements ResponseReader {
  readonly #table: ShapeTable;
  readonly #options: ReaderOptions;
  readonly #fields: MergedFields;
  readonly #counts = new Map<string, number>();
  #model: string | null = null;
  #id: string | null = null;
  #tier: string | null = null;
  #finish: unknown = null;
  #failed = false;
  #usageSeen: "none" | "start" | "final" = "none";

  constructor(table: ShapeTable, options: ReaderOptions) {
    this.#table = table;
    this.#options = options;
    this.#fields = new MergedFields([...table.fields, ...Object.keys(table.response.fields ?? {})]);
  }

  wants(slot: string): boolean {
    return slot !== "id" || this.#id === null;
  }

  value(slot: string, value: unknown): void {
    if (value === null) return;
    if (slot === "usage") this.#usageSeen = this.#fields.merge(value) ? "final" : this.#usageSeen;
    else if (slot === "start") this.#usageSeen = this.#fields.merge(value) && this.#usageSeen === "none" ? "start" : this.#usageSeen;
    else if (slot === "model") this.#model = asName(value) ?? this.#model;
    else if (slot === "id") this.#id = asName(value);
    else if (slot === "tier") this.#tier = asName(value) ?? this.#tier;
    else if (slot === "finish") this.#finish = value === false ? this.#finish : value;
    else if (slot === "error") this.#failed = true;
    else this.#fields.merge({ [slot.slice(FIELD.length)]: value });
  }

  dropped(slot: string): void {
    if (slot === "error") this.#failed = true;
  }

  enter(slot: string): void {
    const name = slot.slice(FIELD.length);
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  result(): ReaderResult {
    const pending = this.#table.isPending?.(this.#finish) === true;
    return {
      usage: pending ? null : this.#usage(),
      outputIsPlaceholder: this.#usageSeen === "start",
      final: this.#isOver(),
      responseModel: this.#model,
      responseId: this.#id,
      serviceTier: this.#table.tierIs ?? this.#tier,
      failed: this.#failed || this.#table.isFailure?.(this.#finish) === true,
      pending,
    };
  }

  #isOver(): boolean {
    if (this.#table.usageEnds === true && this.#fields.fields !== null) return true;
    return this.#table.isOver === undefined ? this.#finish !== null : this.#table.isOver(this.#finish);
  }

  #usage(): Usage | null {
    const known = this.#fields.fields;
    if (known === null && this.#counts.size === 0) return this.#table.withoutFields?.(this.#options) ?? null;
    return this.#table.toUsage({ ...known, ...Object.fromEntries(this.#counts) }, this.#options);
  }
}
