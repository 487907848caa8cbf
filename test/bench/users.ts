import { accessSync, chmodSync, chownSync, constants, mkdirSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { testUser } from "../support/user.ts";
import type { Bench } from "./context.ts";

/** Who runs the program: root and an ordinary user, or, without root, whoever runs the bench. */
export type Runner = {
  readonly name: string;
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** its own state directory */
  readonly home: string;
};

export async function runners(bench: Bench): Promise<readonly Runner[]> {
  const homeOf = (name: string): string => {
    const home = join(bench.dir, name);
    mkdirSync(home, { recursive: true });
    chmodSync(home, 0o711);
    return home;
  };
  if (process.getuid?.() !== 0) return [{ name: "ordinary user", home: homeOf("user") }];
  const root: Runner = { name: "root", home: homeOf("root") };
  await using user = await testUser();
  const owner = { uid: user.uid, gid: user.gid };
  // the checkout has to be readable for it: one below /root is not
  if (spawnSync(process.execPath, ["-e", "0"], { ...owner, cwd: "/" }).status !== 0 || !isReadable(owner)) {
    bench.say("the checkout cannot be read by an ordinary user: figures for root only");
    return [root];
  }
  const home = homeOf("user");
  chownSync(home, owner.uid, owner.gid);
  return [root, { name: "ordinary user", owner, home }];
}

function isReadable(owner: { readonly uid: number; readonly gid: number }): boolean {
  const file = fileURLToPath(new URL("../../package.json", import.meta.url));
  accessSync(file, constants.R_OK);
  return spawnSync("/bin/cat", [file], { ...owner, stdio: "ignore", cwd: "/" }).status === 0;
}
