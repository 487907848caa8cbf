import { execFile } from "node:child_process";
import { readlinkSync } from "node:fs";
import { promisify } from "node:util";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { installation } from "../support/installation.ts";
import { requires } from "../support/requires.ts";

/** Public, so that nothing but being this machine's own forbids it. */
const ADDRESS = "9.9.9.9";
const INSIDE = `
end=$(($(date +%s) + 15))
while test $(date +%s) -lt $end; do
  curl -s --max-time 2 http://${ADDRESS}/ > /tmp/answer
  if grep -q 'address of this machine' /tmp/answer; then cat /tmp/answer; exit 0; fi
  test -e /mark/first || cp /tmp/answer /mark/first
  sleep 0.1
done
exit 1`;
/** In a network namespace of its own, where there is no way to anybody. */
const OUTSIDE = `
test "$(readlink /proc/self/ns/net)" != "$1" || exit 90
ip link set lo up
mkdir "$2" && chmod 777 "$2"
"$3" run --no-workspace --mount "$2:/mark" --allow ${ADDRESS} -- sh -c "$4" & pid=$!
until test -e "$2/first" || ! kill -0 $pid 2>/dev/null; do sleep 0.05; done
ip addr add ${ADDRESS}/32 dev lo
wait $pid`;

describe("an address that this machine gains", requires("bwrap", "root", "curl", "netns"), () => {
  test("is its own for sandboxes that run already", { timeout: 120_000 }, async () => {
    await using at = await installation();
    const program = new URL("../../bin/agentkernel", import.meta.url).pathname;
    const args = ["-n", "sh", "-c", OUTSIDE, "sh", readlinkSync("/proc/self/ns/net"), join(at.workspace, "mark"), program, INSIDE];
    const env = {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: at.home,
      AGENTKERNEL_HOME: at.home,
      XDG_CONFIG_HOME: join(at.home, "config"),
    };
    const { stdout } = await promisify(execFile)("unshare", args, { env, timeout: 100_000 });
    expect(stdout).toContain(`${ADDRESS} is an address of this machine`);
    expect(stdout).toMatch(/"rule":"address"/);
  });
});
