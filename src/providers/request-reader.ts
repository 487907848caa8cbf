import { asBuffer, createBodyDecoder, TAP_LIMITS, type BodyDecoder } from "./decode/body-decoder.ts";
import { compilePaths, type PathNode, type PathSpec } from "./json/paths.ts";
import { JsonScanner, type JsonSink } from "./json/scanner.ts";
import { asCount, asFields, asName } from "./shapes/fields.ts";
import { SHAPES } from "./shapes/registry.ts";
import type { RequestFact } from "./shapes/shape.ts";
import type { Recognition, RequestFacts, RequestReader, ShapeId } from "./types.ts";

/** The two headers that say how a body is written, as sent. */
export type BodyHeaders = { readonly contentType?: string | undefined; readonly contentEncoding?: string | undefined };

/** Reads model, stream flag and limits out of a request body of any size as it passes; O(1) memory, never throws. */
export function createRequestReader(recognition: Recognition, headers: BodyHeaders): RequestReader {
  return new ShapeRequestReader(recognition, headers);
}

/** a model's name, a flag, a small object */
const VALUE_CAP = 4096;

const PATHS = new Map<ShapeId, PathNode>();

function pathsOf(shape: ShapeId): PathNode {
  const known = PATHS.get(shape);
  if (known !== undefined) return known;
  const table = SHAPES[shape].request;
  const specs = Object.keys(table).map((path): PathSpec => ({ path, slot: path, action: "value" }));
  // an object that holds a fact one level down is told apart from a second one of the same name
  const parents = new Set(
    Object.keys(table)
      .filter((path) => path.includes("."))
      .map((path) => path.slice(0, path.indexOf("."))),
  );
  for (const parent of parents) specs.push({ path: parent, slot: parent, action: "enter" });
  const paths = compilePaths(specs);
  PATHS.set(shape, paths);
  return paths;
}

class ShapeRequestReader implements RequestReader, JsonSink {
  readonly #recognition: Recognition;
  readonly #table: Readonly<Record<string, RequestFact>>;
  readonly #decoder: BodyDecoder | null;
  readonly #scanner: JsonScanner;
  readonly #isJson: boolean;
  readonly #values = new Map<string, unknown>();
  readonly #entered = new Set<string>();
  #bom = 0;
  #ambiguous = false;
  #broken = false;

  constructor(recognition: Recognition, headers: BodyHeaders) {
    this.#recognition = recognition;
    this.#table = SHAPES[recognition.shape].request;
    this.#scanner = new JsonScanner(pathsOf(recognition.shape), this, VALUE_CAP);
    this.#isJson = !(headers.contentType ?? "").toLowerCase().trimStart().startsWith("multipart/");
    this.#decoder = createBodyDecoder(headers.contentEncoding, TAP_LIMITS, (chunk) => this.#read(chunk));
  }

  write(chunk: Uint8Array): void {
    if (this.#isJson) this.#decoder?.write(asBuffer(chunk));
  }

  async end(): Promise<RequestFacts> {
    const decoded = this.#decoder === null ? "broken" : await this.#decoder.end();
    const scanned = this.#scanner.finish();
    const readable = decoded === "complete" && scanned === "complete" && !this.#broken;
    // a GET and a POST without a body say nothing, and nothing is wrong with that
    const isEmpty = decoded === "complete" && scanned === "empty" && !this.#broken;
    const streamOptions = asFields(this.#valueOf("streamOptions"));
    const includeUsage = streamOptions?.["include_usage"];
    return {
      model: this.#recognition.model ?? asName(this.#valueOf("model")),
      streaming: this.#recognition.streaming ?? this.#valueOf("stream") === true,
      includeUsage: typeof includeUsage === "boolean" ? includeUsage : null,
      maxOutputTokens: this.#largest("maxOutputTokens"),
      choices: this.#largest("choices"),
      serviceTier: asName(this.#valueOf("serviceTier")),
      ambiguous: this.#ambiguous,
      unparsable: this.#isJson && !readable && !isEmpty,
    };
  }

  #read(chunk: Buffer): void {
    let from = 0;
    while (this.#bom < 3 && from < chunk.length) {
      if (chunk[from] !== [0xef, 0xbb, 0xbf][this.#bom]) {
        // half a byte order mark is no JSON
        this.#broken = this.#bom > 0;
        this.#bom = 3;
        break;
      }
      this.#bom += 1;
      from += 1;
    }
    if (this.#broken || from === chunk.length) return;
    const stopped = this.#scanner.write(chunk, from, chunk.length);
    // behind the document only white space may stand: the scanner fails on the rest
    if (stopped < chunk.length) this.#scanner.write(chunk, stopped, chunk.length);
    if (this.#scanner.failed) this.#broken = true;
  }

  #valueOf(fact: RequestFact): unknown {
    for (const [path, value] of this.#values) if (this.#table[path] === fact) return value;
    return undefined;
  }

  /** Of several keys that limit the same thing the largest counts: budgets must not reserve too little. */
  #largest(fact: RequestFact): number | null {
    let largest: number | null = null;
    for (const [path, value] of this.#values) {
      const count = this.#table[path] === fact ? asCount(value) : null;
      if (count !== null && (largest === null || count > largest)) largest = count;
    }
    return largest;
  }

  wants(): boolean {
    return true;
  }

  value(slot: string, value: unknown): void {
    // JSON.parse takes the last of two equal keys, other parsers the first: what differs cannot be trusted
    if (this.#values.has(slot) && JSON.stringify(this.#values.get(slot)) !== JSON.stringify(value)) this.#ambiguous = true;
    this.#values.set(slot, value);
  }

  dropped(): void {
    this.#broken = true;
  }

  enter(slot: string): void {
    if (this.#entered.has(slot)) this.#ambiguous = true;
    this.#entered.add(slot);
  }

  variant(): void {
    this.#ambiguous = true;
  }

  text(): void {
    // no request path asks for text
  }

  other(): void {
    // no request path asks for it
  }
}
