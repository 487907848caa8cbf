import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createStandIn, standInUpstreams } from "../../src/demo/stand-in.ts";
import type { UsageEntry } from "../../src/schema/api.ts";
import { installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";

/**
 * The official clients of the providers, unmodified, inside a sandbox, against the stand-in over TLS: what each of them says was used
 * is what the ledger says, whole and streaming. The calls are in `test/support/sdks/calls.mjs`, each with a model name of its own.
 */

const ROOT = join(import.meta.dirname, "..", "..");
const INSIDE = "/opt/sdks";
const OLLAMA = "ollama.corp.example";

type Said = Readonly<
  Record<string, { readonly input?: number; readonly output?: number; readonly text?: string; readonly error?: string }>
>;

describe("official clients in a sandbox", requires("bwrap"), () => {
  test.each(["identity", "gzip"] as const)("report the figures that the ledger has (%s)", { timeout: 120_000 }, async (coding) => {
    await using standIn = await createStandIn({ delayMs: 0, coding });
    await using place = await installation();
    const caFile = join(place.workspace, "../stand-in.pem");
    await writeFile(caFile, standIn.caPem);
    const upstreams = [...standInUpstreams(standIn), { host: OLLAMA, url: standIn.origin }];
    const provider = `[[llm.providers]]\nname = "ollama"\nhosts = ["${OLLAMA}"]\nshape = "ollama"\n`;
    const tables = upstreams.map(({ host, url }) => `[[egress.upstreams]]\nhost = "${host}"\nurl = "${url}"\nca_file = "${caFile}"\n`);
    await place.configure([provider, ...tables].join("\n"));
    const sdks = join(place.workspace, "sdks");
    await mkdir(sdks);
    await copyFile(join(ROOT, "test/support/sdks/calls.mjs"), join(sdks, "calls.mjs"));

    const allowed = upstreams.flatMap(({ host }) => ["--allow", host]);
    const mount = ["--mount", `${join(ROOT, "node_modules")}:${INSIDE}/node_modules:ro`, "--mount", `${sdks}:${INSIDE}/test:ro`];
    const node = `${INSIDE}/node_modules/node-linux-${process.arch}/bin/node`;
    const result = await place.run(["run", ...allowed, ...mount, "--", node, `${INSIDE}/test/calls.mjs`], { timeoutMs: 100_000 });
    expect(result.code, result.stderr).toBe(0);
    const said = JSON.parse(result.stdout.toString()) as Said;
    expect(Object.entries(said).filter(([, { error }]) => error !== undefined)).toEqual([]);
    expect(Object.keys(said).length).toBe(20);

    const usage = await place.run(["llm", "usage", "--all", "--json"]);
    expect(usage.code, usage.stderr).toBe(0);
    const rows = Object.values(JSON.parse(usage.stdout.toString()) as Readonly<Record<string, readonly UsageEntry[]>>).flat();
    const ledger = Object.fromEntries(
      rows.map(
        ({
          model,
          provider: by,
          total_input_tokens: input,
          total_output_tokens: output,
          request_count,
          streaming_count,
          unmetered_requests,
        }) => [model, { by, input, output, request_count, streaming_count, unmetered_requests }],
      ),
    );
    const sent = new Map(standIn.sent.map((one) => [one.model, one]));
    const expected = Object.fromEntries(
      Object.entries(said).map(([model, figures]) => {
        // the one that did not ask for usage cannot say: there the stand-in does
        const { input, output } = figures.text === undefined ? figures : (sent.get(model) ?? {});
        const isStream = model.includes("-stream");
        return [
          model,
          { by: model.split("-")[0], input, output, request_count: 1, streaming_count: isStream ? 1 : 0, unmetered_requests: 0 },
        ];
      }),
    );
    expect(ledger).toEqual(expected);
    expect(Object.values(ledger).every(({ input }) => input > 0)).toBe(true);
  });
});
