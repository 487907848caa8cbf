import { requires } from "../support/requires.ts";
import { expect, test } from "vitest";
import { threat } from "../support/attack-suite.ts";
import { runIn } from "../support/run-in.ts";

threat("T30: running as root of the host", (attacked) => {
  test("is refused when it is asked for", requires("root"), async () => {
    await expect(attacked.create({ owner: { uid: 0, gid: 0 } })).rejects.toMatchObject({ code: "VALIDATION" });
    await expect(attacked.create({ owner: { uid: 0, gid: 1000 } })).rejects.toMatchObject({ code: "VALIDATION" });
    await expect(attacked.create({ owner: { uid: 1000, gid: 0 } })).rejects.toMatchObject({ code: "VALIDATION" });
  });

  test("does not happen otherwise", requires("root"), async () => {
    const owners: number[] = [];
    const spec = await attacked.harness.spec();
    const sandbox = await attacked.create({ ...spec, prepare: async (owner) => void owners.push(owner.uid) });
    expect(owners).toHaveLength(1);
    expect(owners[0]).toBeGreaterThanOrEqual(1000);
    expect((await runIn(sandbox, "id -u")).stdout).toBe("1000\n");
  });
});
