/**
 * A process that starts sandboxes until it is killed: `node sandbox-maker.ts BASE UID`. Prints a line for each that runs and
 * for each that failed. UID is whom
 * they run as (0: whoever the process runs as).
 */
import { mkdirSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createBubblewrapBackend } from "../../src/backends/bubblewrap/backend.ts";
import { AppError, messageOf } from "../../src/base/error.ts";
import { newUuid } from "../../src/base/id.ts";
import { silentLog } from "../../src/base/log.ts";
import { ownedBy } from "./bubblewrap-harness.ts";

const [base = "", uidText = "0", guestDir] = process.argv.slice(2);
const uid = Number(uidText);
const backend = createBubblewrapBackend({ stageDir: join(base, "stage"), log: silentLog, guestDir });
const signal = new AbortController().signal;

async function make(index: number): Promise<void> {
  const dir = join(base, `${process.pid}-${index}`);
  mkdirSync(join(dir, "home"), { recursive: true });
  const sandbox = await backend.create(
    {
      uuid: newUuid(),
      name: `m${index}`,
      hostname: `m${index}`,
      env: {},
      workdir: "/",
      homeDir: join(dir, "home"),
      mounts: [],
      files: {},
      limits: { memoryBytes: 128 << 20, cpus: null, pids: 32, openFiles: 256, scratchBytes: 1 << 20, required: [] },
      network: { kind: "gateway", ports: [53, 80, 443], attach: () => Promise.resolve() },
      ...(uid === 0 ? {} : { owner: { uid, gid: uid } }),
      prepare: (owner) => ownedBy(join(dir, "home"), owner),
      runDir: join(dir, "run"),
    },
    { signal, log: silentLog },
  );
  // what tries hardest to survive: sessions of their own, deaf to every signal, forking
  const command =
    "trap '' HUP INT TERM QUIT; for i in 1 2 3; do setsid sh -c 'trap \"\" HUP INT TERM; (sleep 1000 &) ; sleep 1000' & done; wait";
  await sandbox.exec({ argv: ["/bin/sh", "-c", command], env: { PATH: "/usr/bin:/bin" }, cwd: "/" }, { signal });
  writeSync(1, `running ${index}\n`);
}

let next = 0;
async function worker(): Promise<void> {
  for (; next < 200; ) {
    next += 1;
    try {
      await make(next);
    } catch (error) {
      writeSync(1, `failed ${error instanceof AppError ? `${error.code}: ${messageOf(error)}` : String(error)}\n`);
    }
  }
}
await Promise.all(Array.from({ length: 6 }, worker));
