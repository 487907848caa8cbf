import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { freePort } from "../support/free-port.ts";
import { served } from "../support/served.ts";
import { waitFor } from "../support/wait-for.ts";

/** `[server]`, the options of `serve`, and what of `[audit]` is seen from outside. */

const DASH = "https://dash.example.com";

describe("[server]", () => {
  it("listens where the file says, and the options of serve stand over it", async () => {
    const { port } = await freePort();
    {
      await using at = await served(`[server]\nhost = "127.0.0.2"\nport = ${port}\n`, {
        args: () => [],
        env: { AGENTKERNEL_API_KEY: "k" },
      });
      expect(at.url).toBe(`http://127.0.0.2:${port}`);
      const second = await at.place.run(["serve", "--stop"]);
      expect([second.code, second.stderr]).toEqual([0, expect.stringContaining("the server has ended")]);
    }
    await using at = await served(`[server]\nhost = "127.0.0.2"\nport = ${port}\n`, { args: () => ["--host", "127.0.0.3", "--port", "0"] });
    expect(at.url).toMatch(/^http:\/\/127\.0\.0\.3:\d+$/);
    expect(at.url).not.toContain(`:${port}`);
  }, 60_000);

  it("asks for the key of the file, or for that of --api-key-file, which stands over it", async () => {
    const toml = async ({ home }: { readonly home: string }): Promise<string> => {
      await writeFile(join(home, "key"), "of-the-file\n", { mode: 0o600 });
      return `[server]\napi_key = { file = "${join(home, "key")}" }\n`;
    };
    const status = async (at: { api: Awaited<ReturnType<typeof served>>["api"] }, key: string): Promise<number> =>
      (await at.api("GET", "/status", undefined, { authorization: `Bearer ${key}` })).status;
    {
      await using at = await served(toml);
      expect([await status(at, "other"), await status(at, "of-the-file")]).toEqual([401, 200]);
    }
    const named = (place: { readonly home: string }): string => join(place.home, "other");
    await using at = await served(
      async (place) => {
        await writeFile(named(place), "of-the-option\n", { mode: 0o600 });
        return toml(place);
      },
      { args: (place) => ["--port", "0", "--api-key-file", named(place)] },
    );
    expect([await status(at, "of-the-file"), await status(at, "of-the-option")]).toEqual([401, 200]);
  }, 60_000);

  it("lets pages of allowed_origins in, and no other's", async () => {
    await using at = await served(`[server]\nallowed_origins = ["${DASH}"]\n`);
    const from = async (origin: string): Promise<number> => (await at.api("GET", "/status", undefined, { origin })).status;
    expect([await from(DASH), await from("https://evil.example.com")]).toEqual([200, 403]);
  }, 60_000);
});

describe("[audit]", () => {
  it("a stream to stdout is written there by serve, and checkpoints are signed with the key of the file", async () => {
    await using at = await served(
      async ({ home }) =>
        `[audit]\ncheckpoint_key = "${join(home, "own", "audit.pem")}"\n[[audit.streams]]\nflush_interval_secs = 0\ndestination = { type = "stdout" }\n`,
    );
    await waitFor(() => at.said().includes('"class_uid":'), { what: "an event on stdout" });
    expect(existsSync(join(at.place.home, "own", "audit.pem"))).toBe(true);
  }, 60_000);
});
