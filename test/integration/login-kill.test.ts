import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { testUpstream } from "../support/gateway/upstream.ts";
import { expectNoChildren } from "../support/leftovers.ts";
import { ANSWER, FIRST, JSON_TYPE, LOGIN_HOST, loginText, NEXT, renewalsIn } from "../support/login-gateway.ts";
import { tempDir } from "../support/temp.ts";

/** A process that is killed while it renews a login: the provider takes the old refresh token for spent from its answer on. */

const RENEWER = fileURLToPath(new URL("../support/login-renewer.ts", import.meta.url));

afterAll(() => expectNoChildren(/esbuild|vitest/));

type Ran = { readonly steps: readonly string[]; readonly isAnswered: boolean; readonly signal: NodeJS.Signals | null };
type Given = { readonly journal: string; readonly path: string; readonly upstream?: object; readonly killAt?: number };

async function ran(given: Given): Promise<Ran> {
  const child = spawn(process.execPath, [RENEWER, JSON.stringify(given)], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 60_000,
    killSignal: "SIGTERM",
  });
  const chunks: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
  const signal = await new Promise<NodeJS.Signals | null>((resolve) => child.once("close", (_code, by) => resolve(by)));
  expect([signal === "SIGTERM", Buffer.concat(errors).toString()]).toEqual([false, ""]);
  const said = Buffer.concat(chunks).toString().trim().split("\n");
  const steps = said.filter((line) => line.startsWith("step ")).map((line) => line.slice(5));
  return { steps, isAnswered: said.includes("answered 200"), signal };
}

async function setting() {
  const stack = new AsyncDisposableStack();
  const dir = stack.use(await tempDir());
  let refreshes = 0;
  const upstream = stack.use(
    await testUpstream((request, response) => {
      request.resume();
      request.on("end", () => {
        refreshes += 1;
        response.writeHead(200, JSON_TYPE).end(ANSWER);
      });
    }),
  );
  const { host, url, ca } = upstream.override(LOGIN_HOST);
  let count = 0;
  return {
    upstream: { host, url: String(url), ca },
    refreshes: () => refreshes,
    /** a login of its own, and a state directory */
    async place() {
      const folder = join(dir.path, String((count += 1)));
      const [journal, path] = [join(folder, "logins"), join(folder, "home", "credentials.json")];
      await mkdir(join(folder, "home"), { recursive: true });
      await writeFile(path, loginText(FIRST), { mode: 0o600 });
      return { journal, path };
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const isWith = (path: string, tokens: typeof FIRST): boolean => {
  const text = readFileSync(path, "utf8");
  const { claudeAiOauth } = JSON.parse(text) as { claudeAiOauth: { accessToken: string; refreshToken: string } };
  return claudeAiOauth.accessToken === tokens.access && claudeAiOauth.refreshToken === tokens.refresh;
};

const filesOf = (journal: string): readonly string[] =>
  existsSync(journal) ? readdirSync(journal).map((name) => join(journal, name)) : [];
const entries = (journal: string): readonly string[] => filesOf(journal).filter((file) => file.endsWith(".renewal"));

/** Nothing but the login, for its owner alone; nothing in the journal, and no token outside of the login. */
function expectClean({ journal, path }: Given): void {
  expect(readdirSync(join(path, "..")).filter((name) => !name.endsWith(".lease"))).toEqual([basename(path)]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(entries(journal)).toEqual([]);
}

test("a login is not lost, at whichever step its renewal is killed", { timeout: 300_000 }, async ({ annotate }) => {
  await using at = await setting();
  const whole = await at.place();
  const { steps, isAnswered } = await ran({ ...whole, upstream: at.upstream });
  expect(isAnswered).toBe(true);
  expect(isWith(whole.path, NEXT)).toBe(true);
  expectClean(whole);
  expect(steps.length).toBeGreaterThan(20);
  const lost: string[] = [];
  const finished: string[] = [];
  for (const [index, where] of steps.entries()) {
    const place = await at.place();
    const before = at.refreshes();
    const killed = await ran({ ...place, upstream: at.upstream, killAt: index + 1 });
    expect(killed, where).toMatchObject({ signal: "SIGKILL", steps: { length: index + 1 } });
    const isSpent = at.refreshes() > before;
    for (const file of filesOf(place.journal)) {
      expect(statSync(file).mode & 0o777, where).toBe(0o600);
      for (const token of [...Object.values(FIRST), ...Object.values(NEXT)]) expect(readFileSync(file).includes(token), where).toBe(false);
    }
    const isJournalled = entries(place.journal).length > 0;
    const isWritten = isWith(place.path, NEXT);
    // the file is whole, whenever somebody looks
    expect(isWritten || isWith(place.path, FIRST), where).toBe(true);
    await renewalsIn(place.journal).recover();
    const isKept = isWith(place.path, NEXT);
    if (isJournalled || isWritten) expect(isKept, where).toBe(true);
    if (isSpent && !isKept) {
      lost.push(where);
      expect(killed.isAnswered, where).toBe(false);
    }
    if (isKept && !isWritten) finished.push(where);
    if (isKept) expectClean(place);
  }
  // the way of the answer into the journal is all that is left
  expect(lost.length).toBeGreaterThan(0);
  expect(lost.filter((where) => !/ (?:logins|[0-9a-f]{32}\.renewal(?:\.new)?)$/.test(where))).toEqual([]);
  expect(finished.length).toBeGreaterThan(4);
  await annotate(`${steps.length} steps, ${finished.length} finished afterwards, ${lost.length} on the way into the journal`);
});

test("what finishes it may be killed as well, and what this machine renewed meanwhile stays", { timeout: 300_000 }, async () => {
  await using at = await setting();
  const { steps } = await ran({ ...(await at.place()), upstream: at.upstream });
  // everything in the journal and nothing in the file
  const killAt = steps.findIndex((where) => /^renameSync .*\.renewal\.new$/.test(where)) + 2;
  const place = await at.place();
  expect(await ran({ ...place, upstream: at.upstream, killAt })).toMatchObject({ signal: "SIGKILL", isAnswered: false });
  expect(entries(place.journal)).toHaveLength(1);
  expect(isWith(place.path, FIRST)).toBe(true);
  const [folder, copy] = [join(place.path, "..", ".."), join(place.path, "..", "..", "..", "copy")];
  await cp(folder, copy, { recursive: true });
  const again = async (): Promise<void> => {
    await rm(folder, { recursive: true });
    await cp(copy, folder, { recursive: true });
  };
  const recovery = await ran(place);
  expect(recovery.signal).toBe(null);
  expect(isWith(place.path, NEXT)).toBe(true);
  expect(recovery.steps.length).toBeGreaterThan(8);
  for (const [index, where] of recovery.steps.entries()) {
    await again();
    expect((await ran({ ...place, killAt: index + 1 })).signal).toBe("SIGKILL");
    expect(isWith(place.path, FIRST) || isWith(place.path, NEXT), where).toBe(true);
    await renewalsIn(place.journal).recover();
    expect(isWith(place.path, NEXT), where).toBe(true);
    expectClean(place);
  }
  await again();
  const theirs = { access: `sk-ant-oat01-theirs${"E".repeat(60)}`, refresh: `sk-ant-ort01-theirs${"F".repeat(60)}` };
  await writeFile(place.path, loginText(theirs), { mode: 0o600 });
  await renewalsIn(place.journal).recover();
  expect(isWith(place.path, theirs)).toBe(true);
  expectClean(place);
});
