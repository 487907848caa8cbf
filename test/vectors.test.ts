import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

/**
 * Known ways in which meters and proxies for model calls went wrong, numbered V01 to V101. Each is covered by a wire vector whose file
 * name begins with its number, or by a test whose title does (`V95: …`, `V27, V28: …`).
 */
const VECTORS = Array.from({ length: 101 }, (_, at) => at + 1);

/** What has no test yet, and why; a number that gets one must be taken out here. */
const PENDING: Readonly<Record<number, string>> = {};

const root = join(import.meta.dirname, "..");

function covered(): Map<number, string[]> {
  const found = new Map<number, string[]>();
  const add = (number: string, where: string): void => {
    const list = found.get(Number(number)) ?? [];
    if (!list.includes(where)) list.push(where);
    found.set(Number(number), list);
  };
  for (const name of readdirSync(join(root, "test/vectors"), { recursive: true, encoding: "utf8" })) {
    const number = /(?:^|\/)V(\d{2,3})-[^/]+\.json$/.exec(name)?.[1];
    if (number !== undefined) add(number, `test/vectors/${name}`);
  }
  for (const folder of ["src", "test"])
    for (const name of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (!name.endsWith(".test.ts")) continue;
      const text = readFileSync(join(root, folder, name), "utf8");
      for (const [, numbers = ""] of text.matchAll(/["'`]((?:V\d{2,3}, )*V\d{2,3}): /g))
        for (const [, number = ""] of numbers.matchAll(/V(\d{2,3})/g)) add(number, `${folder}/${name}`);
    }
  return found;
}

test("every vector is covered by a file or a title that bears its number, or says why not", () => {
  const found = covered();
  expect(found.size).toBeGreaterThan(80);
  expect(VECTORS.filter((number) => !found.has(number) && PENDING[number] === undefined).map((number) => `V${number}`)).toEqual([]);
});

test("no number is taken that there is not, and nothing that is covered is called pending", () => {
  const found = covered();
  expect([...found.keys()].filter((number) => !VECTORS.includes(number) && number !== 102)).toEqual([]);
  expect(Object.keys(PENDING).filter((number) => found.has(Number(number)))).toEqual([]);
});

/** What other meters got wrong, in the order of the catalogue B1 to B45, and the vectors that would show it here. */
const KNOWN_BUGS: readonly (readonly [bug: string, ...vectors: number[]])[] = [
  ["usage was never asked for", 3],
  ["usage asked of those who refuse the question", 1, 30, 64, 74],
  ["usage asked only where stream_options is absent", 4, 5],
  ["a usage chunk with choices dropped", 7],
  ["reading stopped at finish_reason", 2, 3],
  ["usage in the last chunk but one", 70],
  ["cumulative chunks summed", 9, 52],
  ["a chunk without usage resets it", 8],
  ["message_start and message_delta added", 39],
  ["what message_delta corrects ignored", 41, 42],
  ["Anthropic's cache counted twice", 38],
  ["Bedrock's metrics counted beside the usage, its cache taken for a part", 75, 76],
  ["OpenAI's cached tokens taken off or added", 1, 22],
  ["xAI's reasoning outside the output", 68, 69],
  ["Gemini's thoughts and tools left out", 51, 52],
  ["Gemini's array, or one object, not read as a stream", 53, 54],
  ["usage of incomplete and failed responses lost", 24, 25],
  ["polls counted again, background not at all", 26],
  ["structured input reads as no usage", 23],
  ["the old completions without usage", 3],
  ["compressed events read raw", 40, 84],
  ["all decompressed again for every chunk", 82],
  ["line ends other than one", 80],
  ["characters split over chunks", 81],
  ["data over several lines", 80],
  ["comments and blank lines", 61, 62, 71],
  ["errors in the stream booked as success", 43, 71, 77],
  ["nothing recorded of what was left", 44, 45],
  ["leaving booked as the provider's fault", 44],
  ["the provider goes on after the client left", 44],
  ["Azure's first chunk", 73],
  ["Ollama's absent count read as 0", 78],
  ["Groq's usage not read, or twice", 63],
  ["the model of a compressed request unknown", 19, 20],
  ["the model behind a cut-off", 11, 12],
  ["the usage of a large answer dropped", 32, 82],
  ["compressed and fragmented frames", 27, 28],
  ["events held back", 40, 62],
  ["gaps timed out", 61],
  ["refusals counted with tokens", 49, 50],
  ["an estimate passed off as a figure", 6],
  ["an event stream cut inside its head", 75],
  ["batches unmetered", 37, 48],
  ["budgets overrun side by side", 95],
  ["tokens outside the usage", 29, 46],
];

test("every known bug of other meters has a vector", () => {
  const found = covered();
  expect(KNOWN_BUGS).toHaveLength(45);
  expect(KNOWN_BUGS.filter(([, ...vectors]) => vectors.length === 0 || vectors.some((number) => !found.has(number)))).toEqual([]);
});
