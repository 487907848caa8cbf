import { describe, expect, it } from "vitest";
import {
  CHUNKINGS,
  ENCODINGS,
  encodeFlushed,
  everyN,
  loadVectors,
  requestBody,
  responseChunks,
  type Vector,
} from "../../test/support/vectors.ts";
import { decodeBody } from "./decode/body-decoder.ts";
import { planUsageInjection } from "./inject.ts";
import { createRequestReader } from "./request-reader.ts";
import { createResponseTap } from "./response-tap.ts";
import { createUsageStripper } from "./strip.ts";
import { createProviderTable } from "./table.ts";
import type { Recognition, RequestFacts, ResponseFacts } from "./types.ts";

const VECTORS = loadVectors();
const table = createProviderTable({
  customDomains: ["llm.corp.example"],
  providers: [{ name: "ollama", hosts: ["ollama.corp.example"], shape: "ollama" }],
});

function recognitionOf({ request }: Vector): Recognition {
  const [path = "", query = ""] = request.path.split("?");
  const recognition = table.recognize({ host: request.host, method: request.method, path, query });
  if (recognition === undefined) throw new Error(`${request.host}${request.path} was not recognised`);
  return recognition;
}

async function requestFacts(vector: Vector, pieces: readonly Buffer[]): Promise<RequestFacts> {
  const { headers } = vector.request;
  const reader = createRequestReader(recognitionOf(vector), {
    contentType: headers["content-type"],
    contentEncoding: headers["content-encoding"],
  });
  for (const piece of pieces) reader.write(piece);
  return reader.end();
}

async function responseFacts(vector: Vector, pieces: readonly Buffer[], contentEncoding: string | undefined): Promise<ResponseFacts> {
  const { status, headers, ended } = vector.response;
  const head = { status, headers: { contentType: headers["content-type"], contentEncoding }, header: (name: string) => headers[name] };
  const tap = createResponseTap(recognitionOf(vector), head);
  for (const piece of pieces) tap.write(piece);
  return tap.end(ended ?? "complete");
}

/** What was read, in the words of the vectors, reduced to what this vector speaks of. */
function observed(vector: Vector, recognition: Recognition, request: RequestFacts, response: ResponseFacts): Record<string, unknown> {
  const { usage } = response;
  const all: Record<string, unknown> = {
    provider: recognition.provider,
    operation: recognition.operation,
    billable: recognition.billable,
    request_model: request.model,
    stream: request.streaming,
    max_output_tokens: request.maxOutputTokens,
    choices: request.choices,
    ambiguous: request.ambiguous,
    unparsable: request.unparsable,
    response_model: response.responseModel,
    response_id: response.responseId,
    service_tier: response.serviceTier,
    source: response.source,
    outcome: response.outcome,
    missing: response.missing,
    input_characters: request.inputCharacters,
    inject: recognition.injectUsage,
    input: usage?.input ?? null,
    output: usage?.output ?? null,
    total: usage?.total ?? null,
    cache_read: usage?.cacheRead ?? null,
    cache_write: usage?.cacheWrite ?? null,
    reasoning: usage?.reasoning ?? null,
    billed_input: usage?.billedInput ?? null,
    billed_output: usage?.billedOutput ?? null,
    cost_usd: usage?.costReportedUsd ?? null,
    cache_write_ttl: usage?.cacheWriteTtl,
    cache_write_1h: usage?.cacheWrite1h ?? null,
    input_audio: usage?.inputAudio ?? null,
    output_audio: usage?.outputAudio ?? null,
    output_image: usage?.outputImage,
    speed: usage?.speed,
    geo: usage?.geo,
    units: usage?.units ?? {},
    parts: usage?.parts?.map(({ model, input, output }) => ({ model, input, output })),
    extra: usage?.extra?.map(({ model, input, output }) => ({ model, input, output })),
  };
  return Object.fromEntries(Object.entries(all).filter(([name]) => name in vector.expect));
}

/** Expectations about bytes, looked at by their own tests. */
const BYTES = new Set(["client_bytes", "upstream_body", "upstream_body_contains"]);

function expected(vector: Vector): Record<string, unknown> {
  return Object.fromEntries(Object.entries(vector.expect).filter(([name]) => !BYTES.has(name)));
}

async function injected(vector: Vector): Promise<Buffer | null> {
  const body = requestBody(vector);
  const facts = await requestFacts(vector, [body]);
  const plain = await decodeBody(body, vector.request.headers["content-encoding"], 64 * 1024 * 1024);
  return plain === null ? null : (planUsageInjection(recognitionOf(vector), facts, plain)?.body ?? null);
}

it("found its vectors", () => {
  expect(VECTORS.length).toBeGreaterThanOrEqual(90);
  expect(new Set(VECTORS.map((vector) => vector.id)).size).toBe(VECTORS.length);
});

describe.each(VECTORS.map((vector) => [vector.id, vector] as const))("%s", (_id, vector) => {
  const recognition = recognitionOf(vector);
  const { expect: wanted } = vector;

  it("reads the same request in every chunking", async () => {
    const body = requestBody(vector);
    const whole = await requestFacts(vector, [body]);
    expect(await requestFacts(vector, everyN(body))).toEqual(whole);
    expect(whole).toMatchObject({ model: wanted["request_model"], streaming: wanted["stream"] });
    if (wanted["ambiguous"] === undefined) expect(whole.ambiguous).toBe(false);
    if (wanted["unparsable"] === undefined) expect(whole.unparsable).toBe(false);
  });

  for (const encoding of ENCODINGS) {
    it(`reads the same response in five chunkings, ${encoding}`, async () => {
      const request = await requestFacts(vector, [requestBody(vector)]);
      const cut = vector.response.ended !== undefined;
      for (const [name, chunking] of Object.entries(CHUNKINGS)) {
        const single = name === "one byte at a time";
        // one flush per byte would measure zlib: the whole is coded, then cut
        const plain = single && encoding !== "identity" ? responseChunks(vector) : chunking(responseChunks(vector));
        const coded = await encodeFlushed(plain, encoding, cut);
        const pieces = single ? everyN(Buffer.concat(coded)) : coded;
        const before = Buffer.concat(pieces);
        const response = await responseFacts(vector, pieces, encoding === "identity" ? undefined : encoding);
        expect(observed(vector, recognition, request, response), name).toEqual(expected(vector));
        expect(Buffer.concat(pieces).equals(before), "the tap changed a byte").toBe(true);
      }
    });
  }

  it("changes the request only where it must", async () => {
    const plan = await injected(vector);
    const part = wanted["upstream_body_contains"];
    if (typeof part === "string") {
      expect(plan?.toString()).toContain(part);
      expect(JSON.parse(plan?.toString() ?? "")).toMatchObject({ stream: true, stream_options: { include_usage: true } });
    } else {
      expect(plan).toBeNull();
    }
  });

  if (wanted["client_bytes"] === "minus_usage_chunk" || vector.response.framing === "sse") {
    it("gives the client its bytes in every chunking", () => {
      const strips = wanted["client_bytes"] === "minus_usage_chunk";
      // a client that asked for usage is not stripped; the stripper must still leave every other kind of event alone
      if (!strips && JSON.stringify(vector.response.chunks).includes('\\"choices\\":[]')) return;
      const wantedBytes = Buffer.concat(responseChunks(vector, !strips));
      for (const [name, chunking] of Object.entries(CHUNKINGS)) {
        const stripper = createUsageStripper();
        const out = chunking(responseChunks(vector)).flatMap((piece) => [...stripper.transform(piece)]);
        out.push(...stripper.flush());
        expect(Buffer.concat(out).toString("latin1") === wantedBytes.toString("latin1"), name).toBe(true);
      }
    });
  }
});
