import fc from "fast-check";
import { expect, it } from "vitest";
import { createRequestReader } from "../../src/providers/request-reader.ts";
import { createResponseTap } from "../../src/providers/response-tap.ts";
import { createProviderTable } from "../../src/providers/table.ts";
import { encodeFlushed, ENCODINGS, loadVectors, requestBody, responseChunks, type Vector } from "../support/vectors.ts";
import { cut, fuzz } from "../support/fuzz.ts";

/** those of an ordinary size: the large ones have their own runs */
const VECTORS = loadVectors().filter((vector) => JSON.stringify(vector).length < 30_000 && !JSON.stringify(vector).includes("random_b64"));
const table = createProviderTable({
  customDomains: ["llm.corp.example"],
  providers: [{ name: "ollama", hosts: ["ollama.corp.example"], shape: "ollama" }],
});

async function record(vector: Vector, request: readonly Buffer[], response: readonly Buffer[], encoding: string): Promise<unknown> {
  const { host, method, headers } = vector.request;
  const [path = "", query = ""] = vector.request.path.split("?");
  const recognition = table.recognize({ host, method, path, query });
  if (recognition === undefined) throw new Error("not recognised");
  const reader = createRequestReader(recognition, { contentType: headers["content-type"], contentEncoding: headers["content-encoding"] });
  for (const piece of request) reader.write(piece);
  const { status, ended } = vector.response;
  const tap = createResponseTap(recognition, {
    status,
    headers: { contentType: vector.response.headers["content-type"], ...(encoding === "identity" ? {} : { contentEncoding: encoding }) },
    header: (name) => vector.response.headers[name],
  });
  for (const piece of response) tap.write(piece);
  return { request: await reader.end(), response: await tap.end(ended ?? "complete") };
}

it("any chunking of any vector in any coding gives the same record, and no byte changes", async () => {
  expect(VECTORS.length).toBeGreaterThan(100);
  const sizes = fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 6 });
  await fuzz(
    fc.asyncProperty(fc.constantFrom(...VECTORS), fc.constantFrom(...ENCODINGS), sizes, async (vector, encoding, at) => {
      const body = requestBody(vector);
      const whole = Buffer.concat(responseChunks(vector));
      const wanted = await record(vector, [body], [whole], "identity");
      const coded = Buffer.concat(await encodeFlushed([whole], encoding, vector.response.ended !== undefined));
      const before = Buffer.from(coded);
      expect(await record(vector, cut(body, at), cut(coded, at), encoding)).toEqual(wanted);
      expect(coded.equals(before)).toBe(true);
    }),
    { runs: 1500, share: 1 / 100 },
  );
});

it("a vector cut anywhere, or damaged anywhere, never throws and never invents tokens", async () => {
  await fuzz(
    fc.asyncProperty(fc.constantFrom(...VECTORS), fc.nat(), fc.nat(255), fc.boolean(), async (vector, place, byte, isCut) => {
      const whole = Buffer.concat(responseChunks(vector));
      if (whole.length === 0) return;
      const at = place % whole.length;
      const damaged = isCut ? whole.subarray(0, at) : Buffer.concat([whole.subarray(0, at), Buffer.from([byte]), whole.subarray(at + 1)]);
      const { response } = (await record(vector, [requestBody(vector)], [damaged], "identity")) as {
        readonly response: {
          readonly usage: { readonly input: number | null; readonly output: number | null } | null;
          readonly source: string;
        };
      };
      expect(response.source === "none").toBe(response.usage === null);
      for (const value of [response.usage?.input, response.usage?.output])
        expect(value == null || (Number.isSafeInteger(value) && value >= 0)).toBe(true);
    }),
    { runs: 1500, share: 1 / 100 },
  );
});
