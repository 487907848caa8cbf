import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { request } from "node:http";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { testUpstream } from "../support/gateway/upstream.ts";
import { installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";
import { waitFor } from "../support/wait-for.ts";

const HOST = "api.example.com";
const REAL = "sk-proj-RealRealValue9876543210abcdefXYZ";
// the search must not find its own words in the sandbox's memory
const SEARCH = `
import glob, os
needle = bytes(b ^ 1 for b in bytes.fromhex("${Buffer.from(Buffer.from(REAL).map((byte) => byte ^ 1)).toString("hex")}"))
hits = []
def look(name, data):
    if needle in data: hits.append(name)
for pattern in ("/proc/[0-9]*/environ", "/proc/[0-9]*/cmdline"):
    for name in glob.glob(pattern):
        try: look(name, open(name, "rb").read())
        except OSError: pass
for pid in glob.glob("/proc/[0-9]*"):
    if pid == "/proc/%d" % os.getpid(): continue
    try:
        maps = open(pid + "/maps").read().splitlines(); mem = open(pid + "/mem", "rb", 0)
    except OSError: continue
    for line in maps:
        span, mode = line.split()[:2]
        if "r" not in mode: continue
        start, end = (int(x, 16) for x in span.split("-"))
        try: mem.seek(start); look(pid + " memory", mem.read(min(end - start, 1 << 26)))
        except (OSError, ValueError, OverflowError): pass
for root, dirs, files in os.walk("/"):
    dirs[:] = [d for d in dirs if os.path.join(root, d) not in ("/proc", "/sys", "/usr", "/dev")]
    for name in files:
        path = os.path.join(root, name)
        try:
            if os.path.isfile(path) and os.path.getsize(path) < 1 << 24: look(path, open(path, "rb").read())
        except OSError: pass
print("hits", hits)
`;

describe("a real value", requires("bwrap", "curl", "python3"), () => {
  it("is nowhere in the sandbox, nor in the state directory, logs and events of the host", async () => {
    await using upstream = await testUpstream((request, response) => response.end(`got ${request.headers.authorization}\n`));
    await using at = await installation();
    const ca = join(at.home, "ca.pem");
    await writeFile(ca, upstream.override(HOST).ca ?? "");
    await at.configure(`[[egress.upstreams]]\nhost = "${HOST}"\nurl = "https://localhost:${upstream.port}"\nca_file = "${ca}"\n`);
    const output: string[] = [];
    const run = async (args: readonly string[], input?: string): Promise<string> => {
      const { stdout, stderr } = await at.run(args, { timeoutMs: 60_000, ...(input === undefined ? {} : { input }) });
      output.push(stdout.toString(), stderr);
      return stdout.toString();
    };
    await run(["secret", "set", "API_KEY"], `${REAL}\n`);
    await run(["create", "box", "--no-workspace", "--secret", `API_KEY:${HOST}`]);
    await run(["exec", "-d", "box", "--", "sh", "-c", "sleep 60"]);
    // used, echoed, misplaced
    const use =
      'curl -s -H "authorization: Bearer $API_KEY" https://api.example.com/ | tee ~/answer; curl -s -d "$API_KEY" https://api.example.com/';
    await run(["exec", "box", "--", "sh", "-c", use]);
    expect(upstream.requests[0]?.rawHeaders).toContain(`Bearer ${REAL}`);
    // while it is used: the memory of whoever sends it and of whoever reads the answer is searched
    const using = 'while :; do curl -s -H "authorization: Bearer $API_KEY" https://api.example.com/ > ~/answer2; done';
    await run(["exec", "-d", "box", "--", "sh", "-c", using]);
    const before = upstream.requests.length;
    await waitFor(() => upstream.requests.length > before + 2);
    expect(await run(["exec", "box", "--", "python3", "-c", SEARCH])).toBe("hits []\n");
    const answers = await everyGet(join(at.home, "run", "serve.sock"), "box");
    // metrics, events and usage among them
    expect([...answers.keys()]).toEqual(expect.arrayContaining(["/metrics", "/sandboxes/box", "/llm/usage"]));
    expect([...answers.values()].filter(({ status }) => status === 200).length).toBeGreaterThan(15);
    for (const [path, { text }] of answers) expect(text.includes(REAL), path).toBe(false);
    for (const args of [
      ["audit", "tail", "--json", "-n", "200"],
      ["secret", "ls", "--json"],
      ["info", "box", "--json"],
      ["ls", "--json"],
      ["policy", "log"],
    ])
      await run(args);
    expect(output.join("\n")).not.toContain(REAL);
    const forms = [REAL, Buffer.from(REAL).toString("base64").slice(0, -4), Buffer.from(REAL).toString("hex")];
    const files = filesBelow(at.home);
    // the database with its log, the event log, what the server wrote
    for (const name of ["state.db", "state.db-wal", "serve.log"])
      expect(
        files.some((file) => file.endsWith(`/${name}`)),
        name,
      ).toBe(true);
    for (const file of files) {
      const bytes = readFileSync(file);
      for (const form of forms) expect(bytes.includes(form), file).toBe(false);
    }
    const processes = execFileSync("ps", ["axeww", "-o", "args"], { maxBuffer: 64 * 1024 * 1024 }).toString();
    expect(processes.includes(REAL)).toBe(false);
    // a core dump of who holds the value holds none of its memory
    const servers = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && isServerOf(pid, at.home));
    expect(servers.length).toBeGreaterThan(0);
    for (const pid of servers) expect(readFileSync(`/proc/${pid}/coredump_filter`, "utf8").trim(), pid).toBe("00000000");
  }, 90_000);
});

/** What every GET route of the API answers, with this sandbox where one is named. Streams are read for a moment. */
async function everyGet(socketPath: string, sandbox: string): Promise<ReadonlyMap<string, { status: number; text: string }>> {
  const get = (path: string): Promise<{ status: number; text: string }> =>
    new Promise((resolve) => {
      const parts: Buffer[] = [];
      let status = 0;
      const asked = request({ socketPath, path, agent: false }, (response) => {
        status = response.statusCode ?? 0;
        response.on("data", (part: Buffer) => parts.push(part)).on("error", () => undefined);
      });
      const cut = setTimeout(() => asked.destroy(), 1_000);
      asked.on("error", () => undefined);
      asked.on("close", () => {
        clearTimeout(cut);
        resolve({ status, text: Buffer.concat(parts).toString() });
      });
      asked.end();
    });
  const document = JSON.parse((await get("/openapi.json")).text) as { paths: Record<string, Record<string, unknown>> };
  const paths = Object.entries(document.paths).flatMap(([path, methods]) => (methods["get"] === undefined ? [] : [path]));
  const answers = new Map<string, { status: number; text: string }>();
  for (const path of paths.map((one) => one.replaceAll(/\{[^}]+\}/g, sandbox))) answers.set(path, await get(path));
  return answers;
}

/** The server in the background of this installation: it has its database open. */
function isServerOf(pid: string, home: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith(`${home}/`) && readFileSync(`/proc/${pid}/comm`, "utf8").trim() !== "bwrap";
      } catch {
        // closed since it was listed
        return false;
      }
    });
  } catch {
    // ended since it was listed
    return false;
  }
}

function filesBelow(path: string): string[] {
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesBelow(join(path, entry.name)) : entry.isFile() ? [join(path, entry.name)] : [],
  );
}
