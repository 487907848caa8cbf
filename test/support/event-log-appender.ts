import { writeSync } from "node:fs";
import { change, openAt, tunnel } from "./event-log.ts";

/** Appends under load until it is killed, and says each acknowledged durable id on stdout, at once. */
const [dir = "", keyFile = ""] = process.argv.slice(2);
const log = await openAt({ dir, keyFile }, { limits: { rotateBytes: 60_000, checkpointEvents: 50 } });
const say = (id: string): void => {
  writeSync(1, `${id}\n`);
};
const lane = async (number: number): Promise<void> => {
  for (let index = 0; ; index += 1) {
    const size = (index * 131 + number * 977) % 3000;
    // fast events go between, so that one write holds both classes
    const fast = log.append(tunnel(`h${index}`));
    say((await log.append(change(`r${index}`, { reason: "x".repeat(size) }))).id);
    await fast;
  }
};
await Promise.all(Array.from({ length: 16 }, (_, number) => lane(number)));
