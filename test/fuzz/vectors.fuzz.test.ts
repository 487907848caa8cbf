import fc from "fast-check";
import { expect, it } from "vitest";
import { createRequestReader } from "../../src/providers/request-reader.ts";
import { createResponseTap } from "../../src/providers/response-tap.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import type { Recognition } from "../../src/providers/types.ts";
import { encodeFlushed, ENCODINGS, loadVectors, requestBody, responseChunks, type Vector } from "../support/vectors.ts";
import { cut, fuzz } from "../support/fuzz.ts";

/** those of an ordinary size: the large ones have their own runs */
const VECTORS = loadVectors().filter((vector) => JSON.stringify(vector).length < 30_000 && !JSON.stringify(vector).includes("random_b64"));
const table = createProviderTable({
  customDomains: ["llm.corp.example"],
  providers: [{ name: "ollama", hosts: ["ollama.corp.example"], shape: "ollama" }],
});

type Prepared = {
  readonly vector: Vector;
  readonly recognition: Recognition;
  readonly body: Buffer;
  readonly whole: Buffer;
  /** the answer in each coding */
  readonly coded: ReadonlyMap<string, Buffer>;
  readonly wanted: unknown;
};

async function readRequest({ vector, recognition }: Pick<Prepared, "vector" | "recognition">, pieces: readonly Buffer[]) {
  const { headers } = vector.request;
  const reader = createRequestReader(recognition, { contentType: headers["content-type"], contentEncoding: headers["content-encoding"] });
  for (const piece of pieces) reader.write(piece);
  return reader.end();
}

async function readResponse(
  { vector, recognition }: Pick<Prepared, "vector" | "recognition">,
  pieces: readonly Buffer[],
  encoding: string,
) {
  const { status, ended, headers } = vector.response;
  const tap = createResponseTap(recognition, {
    status,
    headers: { contentType: headers["content-type"], ...(encoding === "identity" ? {} : { contentEncoding: encoding }) },
    header: (name) => headers[name],
  });
  for (const piece of pieces) tap.write(piece);
  return tap.end(ended ?? "complete");
}

/** What does not depend on the input is made once: most of a run's time went into compressing the same answers. */
async function prepare(vector: Vector): Promise<Prepared> {
  const { host, method } = vector.request;
  const [path = "", query = ""] = vector.request.path.split("?");
  const recognition = table.recognize({ host, method, path, query });
  if (recognition === undefined) throw new Error("not recognised");
  const body = requestBody(vector);
  const whole = Buffer.concat(responseChunks(vector));
  const coded = new Map<string, Buffer>();
  for (const encoding of ENCODINGS)
    coded.set(encoding, Buffer.concat(await encodeFlushed([whole], encoding, vector.response.ended !== undefined)));
  const plain = { vector, recognition };
  const wanted = { request: await readRequest(plain, [body]), response: await readResponse(plain, [whole], "identity") };
  return { vector, recognition, body, whole, coded, wanted };
}

const prepared = await Promise.all(VECTORS.map(prepare));

it("any chunking of any vector in any coding gives the same record, and no byte changes", async () => {
  expect(VECTORS.length).toBeGreaterThan(100);
  const sizes = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 6 });
  await fuzz(
    fc.asyncProperty(fc.constantFrom(...prepared), fc.constantFrom(...ENCODINGS), sizes, async (one, encoding, at) => {
      const coded = one.coded.get(encoding) ?? Buffer.alloc(0);
      const before = Buffer.from(coded);
      const found = {
        request: await readRequest(one, cut(one.body, at)),
        response: await readResponse(one, cut(coded, at), encoding),
      };
      expect(found).toEqual(one.wanted);
      expect(coded.equals(before)).toBe(true);
    }),
    { runs: 1500 },
  );
});

it("a vector cut anywhere, or damaged anywhere, never throws and never invents tokens", async () => {
  await fuzz(
    fc.asyncProperty(fc.constantFrom(...prepared), fc.nat(), fc.nat(255), fc.boolean(), async (one, place, byte, isCut) => {
      const { whole } = one;
      if (whole.length === 0) return;
      const at = place % whole.length;
      const damaged = isCut ? whole.subarray(0, at) : Buffer.concat([whole.subarray(0, at), Buffer.from([byte]), whole.subarray(at + 1)]);
      const { source, usage } = await readResponse(one, [damaged], "identity");
      expect(source === "none").toBe(usage === null);
      for (const value of [usage?.input, usage?.output]) expect(value == null || (Number.isSafeInteger(value) && value >= 0)).toBe(true);
    }),
    { runs: 1500 },
  );
});
