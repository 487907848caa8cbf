import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { VectorBench, type Protocol, type Ran } from "../support/gateway/vector-bench.ts";
import { CHUNKINGS, ENCODINGS, encodeFlushed, everyN, loadVectors, requestBody, responseChunks, type Vector } from "../support/vectors.ts";

/**
 * Every wire vector through the gateway: five chunkings, four codings, both protocols of the sandbox's side. The client gets what the
 * upstream sent, byte for byte, and the record says what the vector says.
 */
const VECTORS = loadVectors();
const PROTOCOLS: readonly Protocol[] = ["http/1.1", "h2"];
/** past this a body goes through once for each coding and protocol: what it shows is memory, not framing */
const LARGE = 1 << 20;

let bench: VectorBench;
beforeAll(async () => {
  bench = await VectorBench.open([...new Set(VECTORS.map(({ request }) => request.host))]);
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

async function runOne(vector: Vector, protocol: Protocol, chunking: string, encoding: (typeof ENCODINGS)[number]): Promise<Ran> {
  const { status, headers, ended } = vector.response;
  const cut = CHUNKINGS[chunking] ?? ((chunks: readonly Buffer[]) => chunks);
  const plain = cut(responseChunks(vector));
  const isByteWise = chunking === "one byte at a time";
  const coded = await encodeFlushed(isByteWise && encoding !== "identity" ? responseChunks(vector) : plain, encoding, ended !== undefined);
  const pieces = isByteWise ? everyN(Buffer.concat(coded)) : coded;
  return bench.run(
    vector,
    protocol,
    {
      status,
      headers: { ...headers, ...(encoding === "identity" ? {} : { "content-encoding": encoding }) },
      pieces,
      plain,
      after: ended === "error" ? "break" : ended === "aborted" ? "silence" : "end",
    },
    ended === "aborted" ? expectedBytes(vector, Buffer.concat(pieces)).length : undefined,
  );
}

/** What the client must have got of these bytes. */
function expectedBytes(vector: Vector, sent: Buffer): Buffer {
  return vector.expect["client_bytes"] === "minus_usage_chunk" ? Buffer.concat(responseChunks(vector, false)) : sent;
}

/** What the record of a request says of it unless its vector says otherwise. */
const PLAIN = { ambiguous: false, unparsable: false };

function recorded({ call }: Ran): Record<string, unknown> {
  return {
    provider: call.provider,
    operation: call.operation,
    request_model: call.model === "unknown" ? null : call.model,
    stream: call.streaming,
    response_model: call.response_model,
    response_id: call.response_id ?? null,
    source: call.usage_source,
    outcome: call.call_outcome,
    missing: call.usage_missing ?? null,
    ambiguous: call.request_ambiguous ?? false,
    unparsable: call.request_unparsable ?? false,
    input: call.input_tokens,
    output: call.output_tokens,
    total: call.total_tokens,
    cache_read: call.cache_read_tokens,
    cache_write: call.cache_write_tokens,
    reasoning: call.reasoning_tokens,
    billed_input: call.billed_input_tokens ?? null,
    billed_output: call.billed_output_tokens ?? null,
    cost_usd: call.cost_usd,
  };
}

test("found its vectors", () => expect(VECTORS.length).toBeGreaterThanOrEqual(120));

test.each(VECTORS.map((vector) => [vector.id.replace("-", ": "), vector] as const))("%s", { timeout: 60_000 }, async (_title, vector) => {
  const isLarge = Buffer.concat(responseChunks(vector)).length + requestBody(vector).length > LARGE;
  const combinations = PROTOCOLS.flatMap((protocol) =>
    ENCODINGS.flatMap((encoding) => Object.keys(CHUNKINGS).map((chunking) => ({ protocol, encoding, chunking }))),
  ).filter(({ chunking }) => !isLarge || chunking === "as given");
  const check = async ({ protocol, encoding, chunking }: (typeof combinations)[number]): Promise<void> => {
    const ran = await runOne(vector, protocol, chunking, encoding);
    const name = `${protocol}, ${encoding}, ${chunking}`;
    expect(ran.status, name).toBe(vector.response.status);
    expect(ran.received.equals(expectedBytes(vector, ran.sent)), `the bytes of ${name}`).toBe(true);
    for (const [header, value] of Object.entries(vector.response.headers)) expect(ran.headers[header.toLowerCase()], name).toBe(value);
    const all = recorded(ran);
    const wanted = Object.fromEntries(Object.entries({ ...PLAIN, ...vector.expect }).filter(([key]) => key in all));
    // speech is counted by the request's characters, which the answer's reader does not see
    if (vector.id === "V34-speech-bytes") Object.assign(wanted, { source: "estimated", missing: null });
    // a figure that comes with every fetch is the fetched call's, and the model of a poll is unknown
    const seen = Object.fromEntries(Object.entries(all).filter(([key]) => key in wanted));
    expect(seen, name).toEqual({ ...wanted, ...responseIdOfRun(wanted, seen) });
    if (vector.expect["units"] !== undefined) expect(ran.detail.units ?? {}, name).toEqual(vector.expect["units"]);
    const body = requestBody(vector);
    const part = vector.expect["upstream_body_contains"];
    if (typeof part === "string") expect(ran.asked.toString(), name).toContain(part);
    else expect(ran.asked.equals(body), `the request of ${name}`).toBe(true);
  };
  bench.forget();
  await Promise.all(combinations.map(check));
  const wanted = pricedOf(vector.expect);
  if (Object.keys(wanted).length === 0 || vector.expect["cost_usd"] !== undefined) return;
  // a call is priced by the answer's model, and by the request's where that has no price
  expect(bench.books.priced.length).toBeGreaterThanOrEqual(combinations.length);
  for (const priced of bench.books.priced) expect(priced).toMatchObject(wanted);
});

/** Of what a vector expects, that which only the price sees. */
function pricedOf(expected: Vector["expect"]): Record<string, unknown> {
  const named = (key: string, name: string): Record<string, unknown> => (expected[key] == null ? {} : { [name]: expected[key] });
  const usage = {
    ...named("extra", "extra"),
    ...named("parts", "parts"),
    ...named("speed", "speed"),
    ...named("geo", "geo"),
    ...named("cache_write_1h", "cacheWrite1h"),
    ...named("cache_write_ttl", "cacheWriteTtl"),
    ...named("input_audio", "inputAudio"),
    ...named("output_image", "outputImage"),
  };
  return { ...named("service_tier", "serviceTier"), ...(Object.keys(usage).length === 0 ? {} : { usage }) };
}

/** What is fetched has an id of its own in every run. */
function responseIdOfRun(wanted: Record<string, unknown>, seen: Record<string, unknown>): Record<string, unknown> {
  const id = seen["response_id"];
  return typeof id === "string" && id.startsWith(`${String(wanted["response_id"])}-run`) ? { response_id: id } : {};
}

const SSE = VECTORS.find(({ id }) => id.startsWith("V39-"));
const JSON_ANSWER = VECTORS.find(({ id }) => id.startsWith("V38-"));

/** codings that servers send and that need more than one decoder run: what the record says of each */
const CODED: readonly (readonly [
  name: string,
  coding: string,
  encode: (plain: Buffer) => Buffer,
  source: string,
  missing: string | null,
])[] = [
  ["deflate with its zlib header", "deflate", (plain) => deflateSync(plain), "reported", null],
  ["deflate without header", "deflate", (plain) => deflateRawSync(plain), "reported", null],
  ["x-gzip in capitals", "X-GZIP", (plain) => gzipSync(plain), "reported", null],
  [
    "gzip in two members",
    "gzip",
    (plain) => Buffer.concat([gzipSync(plain.subarray(0, 100)), gzipSync(plain.subarray(100))]),
    "reported",
    null,
  ],
  ["gzip with garbage behind it", "gzip", (plain) => Buffer.concat([gzipSync(plain), Buffer.from("garbage")]), "reported", null],
  [
    "zstd in two frames",
    "zstd",
    (plain) => Buffer.concat([zstdCompressSync(plain.subarray(0, 100)), zstdCompressSync(plain.subarray(100))]),
    "reported",
    null,
  ],
  ["gzip, then brotli", "gzip, br", (plain) => brotliCompressSync(gzipSync(plain)), "reported", null],
  ["a wrong label", "gzip", (plain) => plain, "reported", null],
  ["a coding of nobody", "x-secret", (plain) => plain, "none", "encoding"],
  ["gzip with a broken middle", "gzip", (plain) => broken(gzipSync(plain)), "none", "encoding"],
];

function broken(coded: Buffer): Buffer {
  const copy = Buffer.from(coded);
  copy.fill(0xff, 20, 60);
  return copy;
}

test.each(CODED)("V84: %s", async (_name, coding, encode, source, missing) => {
  bench.forget();
  for (const vector of [SSE, JSON_ANSWER]) {
    if (vector === undefined) throw new Error("the vectors are there");
    const plain = Buffer.concat(responseChunks(vector));
    const coded = encode(plain);
    for (const protocol of PROTOCOLS)
      for (const pieces of [[coded], everyN(coded)]) {
        const headers = { ...vector.response.headers, "content-encoding": coding };
        const ran = await bench.run(vector, protocol, { status: 200, headers, pieces, plain: [plain], after: "end" });
        expect(ran.received.equals(coded)).toBe(true);
        expect(ran.headers["content-encoding"]).toBe(coding);
        expect([ran.call.usage_source, ran.call.usage_missing ?? null]).toEqual([source, missing]);
        if (source === "reported")
          expect([ran.call.input_tokens, ran.call.output_tokens]).toEqual([vector.expect["input"], vector.expect["output"]]);
      }
  }
});

test("V84: an answer that breaks off inside its coding reaches the client as far as it came, and is no success", async () => {
  bench.forget();
  if (SSE === undefined) throw new Error("the vectors are there");
  const coded = gzipSync(Buffer.concat(responseChunks(SSE)));
  const pieces = [coded.subarray(0, coded.length - 30)];
  for (const protocol of PROTOCOLS) {
    const headers = { ...SSE.response.headers, "content-encoding": "gzip" };
    const ran = await bench.run(SSE, protocol, { status: 200, headers, pieces, plain: pieces, after: "break" });
    expect(ran.received.equals(Buffer.concat(pieces))).toBe(true);
    expect(ran.call.call_outcome).toBe("stream_error");
  }
});

test("V03: an upstream that compresses though it was asked not to is passed on as it is, and read all the same", async () => {
  bench.forget();
  const vector = VECTORS.find(({ id }) => id.startsWith("V03-"));
  if (vector === undefined) throw new Error("the vectors are there");
  const coded = gzipSync(Buffer.concat(responseChunks(vector)));
  for (const protocol of PROTOCOLS) {
    const headers = { ...vector.response.headers, "content-encoding": "gzip" };
    const ran = await bench.run(vector, protocol, {
      status: 200,
      headers,
      pieces: [coded],
      plain: [coded],
      plainHeaders: headers,
      after: "end",
    });
    expect(ran.received.equals(coded)).toBe(true);
    expect([ran.call.input_tokens, ran.call.output_tokens, ran.call.usage_source]).toEqual([57, 9, "reported"]);
  }
});

// the last: it looks at all that ran before it
test("V99: after all vectors the metrics are the sums of the records, and usage is missing where a vector says so and nowhere else", async () => {
  const { calls, metrics } = bench.books;
  expect(calls.length).toBeGreaterThan(4_000);
  const text = await metrics.text();
  const sum = (name: string, labels = ""): number =>
    [...text.matchAll(new RegExp(`^agentkernel_${name}\\{[^}]*${labels}[^}]*\\} (\\S+)$`, "gm"))].reduce(
      (all, [, value]) => all + Number(value),
      0,
    );
  const total = (of: (call: (typeof calls)[number]) => number | null): number => calls.reduce((all, call) => all + (of(call) ?? 0), 0);
  expect(sum("llm_requests_total")).toBe(calls.length);
  expect(sum("llm_input_tokens_total")).toBe(total((call) => call.input_tokens));
  expect(sum("llm_output_tokens_total")).toBe(total((call) => call.output_tokens));
  expect(sum("llm_cache_read_input_tokens_total")).toBe(total((call) => call.cache_read_tokens));
  expect(sum("llm_cache_write_input_tokens_total")).toBe(total((call) => call.cache_write_tokens));
  expect(sum("llm_reasoning_output_tokens_total")).toBe(total((call) => call.reasoning_tokens));
  expect(sum("llm_tokens_total", 'direction="input"')).toBe(total((call) => call.input_tokens));
  expect(sum("llm_tokens_total", 'direction="output"')).toBe(total((call) => call.output_tokens));
  expect(sum("llm_cost_usd_total")).toBeCloseTo(
    total((call) => call.cost_usd),
    6,
  );
  const reasons = new Set(VECTORS.map(({ expect: wanted }) => wanted["missing"]).filter((reason) => typeof reason === "string"));
  for (const reason of [...reasons, "unparsable", "encoding", "tap_overflow", "ws_compressed"])
    expect(sum("llm_usage_missing_total", `reason="${reason}"`), reason).toBe(calls.filter((call) => call.usage_missing === reason).length);
  expect(calls.filter(({ usage_missing }) => usage_missing === "tap_overflow" || usage_missing === "ws_compressed")).toEqual([]);
});
