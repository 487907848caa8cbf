import { asBuffer, createBodyDecoder, TAP_LIMITS, type BodyDecoder } from "./decode/body-decoder.ts";
import { compilePaths, type PathNode, type PathSpec } from "./json/paths.ts";
import { giveBackScanner, takeScanner } from "./json/free-scanners.ts";
import type { JsonScanner, JsonSink, ScanResult } from "./json/scanner.ts";
import { asCount, asFields, asName } from "./shapes/fields.ts";
import { MultipartParser, multipartBoundary, type MultipartSink } from "./multipart.ts";
import { shapeFor } from "./shapes/registry.ts";
import type { RequestFact } from "./shapes/shape.ts";
import type { Recognition, RequestFacts, RequestReader, ShapeId } from "./types.ts";

/** The two headers that say how a body is written, as sent. */
export type BodyHeaders = { readonly contentType?: string | undefined; readonly contentEncoding?: string | undefined };

/** Reads model, stream flag and limits out of a request body of any size as it passes; O(1) memory, never throws. */
export function createRequestReader(recognition: Recognition, headers: BodyHeaders): RequestReader {
  return new ShapeRequestReader(recognition, headers);
}

/** a model's name, a flag, a small object; a text to be spoken has at most 4096 characters of at most 12 bytes */
const VALUE_CAP = 4096;
const TEXT_CAP = 64 * 1024;

const PATHS = new Map<ShapeId, PathNode>();

function pathsOf(shape: ShapeId): PathNode {
  const known = PATHS.get(shape);
  if (known !== undefined) return known;
  const table = shapeFor(shape).request;
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

class ShapeRequestReader implements RequestReader, JsonSink, MultipartSink {
  readonly #recognition: Recognition;
  readonly #table: Readonly<Record<string, RequestFact>>;
  readonly #decoder: BodyDecoder | null;
  /** until the end of a JSON body */
  #scanner: JsonScanner | undefined;
  #scanned: ScanResult = "failed";
  readonly #form: MultipartParser | null;
  readonly #isMultipart: boolean;
  readonly #speaks: boolean;
  readonly #values = new Map<string, unknown>();
  readonly #entered = new Set<string>();
  #bom = 0;
  #ambiguous = false;
  #broken = false;

  constructor(recognition: Recognition, headers: BodyHeaders) {
    this.#recognition = recognition;
    this.#table = shapeFor(recognition.shape).request;
    this.#speaks = recognition.operation === "speech";
    this.#isMultipart = (headers.contentType ?? "").toLowerCase().trimStart().startsWith("multipart/");
    const boundary = this.#isMultipart ? multipartBoundary(headers.contentType ?? "") : null;
    this.#form = boundary === null ? null : new MultipartParser(boundary, this, VALUE_CAP);
    if (!this.#isMultipart) this.#scanner = takeScanner(pathsOf(recognition.shape), this, this.#speaks ? TEXT_CAP : VALUE_CAP);
    this.#decoder = createBodyDecoder(headers.contentEncoding, TAP_LIMITS, (chunk) => this.#read(chunk));
  }

  write(chunk: Uint8Array): void {
    this.#decoder?.write(asBuffer(chunk));
  }

  /** Google takes a model by its bare name and as a resource; the list of permitted ones names it bare. */
  #model(): string | null {
    const name = asName(this.#valueOf("model"));
    return this.#recognition.provider === "google" ? asName(name?.replace(/^models\//, "")) : name;
  }

  async end(): Promise<RequestFacts> {
    const decoded = this.#decoder === null ? "broken" : await this.#decoder.end();
    const scanned = this.#isMultipart ? (this.#form?.finish() ?? "failed") : this.#endDocument();
    const readable = decoded === "complete" && scanned === "complete" && !this.#broken;
    // a GET and a POST without a body say nothing, and nothing is wrong with that
    const isEmpty = decoded === "complete" && scanned === "empty" && !this.#broken;
    const streamOptions = asFields(this.#valueOf("streamOptions"));
    const includeUsage = streamOptions?.["include_usage"];
    const text = this.#speaks ? this.#valueOf("inputText") : null;
    return {
      model: this.#recognition.model ?? this.#model() ?? asName(this.#valueOf("agent")),
      streaming: this.#recognition.streaming ?? this.#streams(),
      includeUsage: typeof includeUsage === "boolean" ? includeUsage : null,
      maxOutputTokens: this.#largest("maxOutputTokens"),
      choices: this.#largest("choices"),
      serviceTier: asName(this.#valueOf("serviceTier")),
      ...named("previousResponseId", this.#valueOf("previous")),
      ...named("conversationId", this.#valueOf("conversation")),
      ...(typeof text === "string" ? { inputCharacters: [...text].length } : {}),
      ambiguous: this.#ambiguous,
      unparsable: !readable && !isEmpty,
    };
  }

  #streams(): boolean {
    const stream = this.#valueOf("stream");
    // a form's fields are text
    if (stream === true || (this.#isMultipart && typeof stream === "string" && /^(?:true|1)$/i.test(stream))) return true;
    if (this.#valueOf("streamFormat") === "sse") return true;
    return shapeFor(this.#recognition.shape).streamsByDefault === true && stream !== false;
  }

  #read(chunk: Buffer): void {
    if (this.#isMultipart) {
      this.#form?.write(chunk);
      return;
    }
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
    const scanner = this.#scanner;
    if (this.#broken || from === chunk.length || scanner === undefined) return;
    const stopped = scanner.write(chunk, from, chunk.length);
    // behind the document only white space may stand: the scanner fails on the rest
    if (stopped < chunk.length) scanner.write(chunk, stopped, chunk.length);
    if (scanner.failed) this.#broken = true;
  }

  #endDocument(): ScanResult {
    const scanner = this.#scanner;
    if (scanner !== undefined) {
      this.#scanner = undefined;
      this.#scanned = scanner.finish();
      giveBackScanner(scanner);
    }
    return this.#scanned;
  }

  #valueOf(fact: RequestFact): unknown {
    for (const [path, value] of this.#values) if (this.#table[path] === fact) return value;
    return undefined;
  }

  /** Of several keys that limit the same thing the largest counts: budgets must not reserve too little. */
  #largest(fact: RequestFact): number | null {
    let largest: number | null = null;
    for (const [path, value] of this.#values) {
      const count = this.#table[path] === fact ? asCount(this.#isMultipart ? Number(value) : value) : null;
      if (count !== null && (largest === null || count > largest)) largest = count;
    }
    return largest;
  }

  /** a form's field of this name: is its text wanted? */
  wantsField(name: string): boolean {
    return Object.hasOwn(this.#table, name) && (this.#table[name] !== "inputText" || this.#speaks);
  }

  field(name: string, text: string): void {
    this.value(name, text);
  }

  wants(slot: string): boolean {
    return this.#table[slot] !== "inputText" || this.#speaks;
  }

  value(slot: string, value: unknown): void {
    // JSON.parse takes the last of two equal keys, other parsers the first: what differs cannot be trusted
    if (this.#values.has(slot) && JSON.stringify(this.#values.get(slot)) !== JSON.stringify(value)) this.#ambiguous = true;
    this.#values.set(slot, value);
  }

  dropped(slot: string): void {
    // a text too long to be counted is no fault of the request
    if (this.#table[slot] !== "inputText") this.#broken = true;
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

function named(fact: "previousResponseId" | "conversationId", value: unknown): Partial<RequestFacts> {
  const name = asName(value) ?? asName(asFields(value)?.["id"]);
  return name === null ? {} : { [fact]: name };
}
