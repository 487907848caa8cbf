import { setTimeout as delay } from "node:timers/promises";
import { silentLog } from "../../src/base/log.ts";
import { openStore } from "../../src/store/open-store.ts";
import { llmCall } from "./llm-event.ts";

/** One of several processes on one state: writes what its number says, then ends, or with `hold` stays until it is killed. */
const [file = "", number = "", mode = ""] = process.argv.slice(2);
await using store = openStore(file, { log: silentLog });
process.stdout.write(`${store.meta.ensure("installation", () => number)}\n`);
store.sandboxes.insert({ uuid: `u${number}`, name: `box${number}`, labels: {}, state: "running", createdAt: Number(number) });
for (let round = 0; round < 20; round += 1) {
  // every process reports the shared calls too
  store.ledger.recordAll(
    Array.from({ length: 25 }, (_, index) => [
      llmCall({
        id: `evt_${number}_${round}_${index}`,
        response_id: `r_${number}_${round}_${index}`,
        sandbox: `box${number}`,
        sandbox_uuid: `u${number}`,
      }),
      llmCall({ id: `evt_shared_${round}_${index}`, response_id: `r_shared_${round}_${index}`, sandbox: "shared", sandbox_uuid: "shared" }),
    ]).flat(),
  );
  store.meta.set(`last${number}`, String(round));
}
process.stdout.write("done\n");
if (mode === "hold") await delay(60_000);
