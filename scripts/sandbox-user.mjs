import { isRoot, read, runQuietly, say } from "./set-up.mjs";

const SANDBOX_USER = "agentkernel";

/** Root never runs a sandbox as itself: it has a user for that, with a range of subordinate uids so that each sandbox has its own. */
export const sandboxUser = {
  name: "sandbox user",
  missing() {
    if (!isRoot) return false;
    const exists = (read("/etc/passwd") ?? "").split("\n").some((line) => line.startsWith(`${SANDBOX_USER}:`));
    return !exists || !hasSubIds("/etc/subuid") || !hasSubIds("/etc/subgid");
  },
  make() {
    if (!(read("/etc/passwd") ?? "").split("\n").some((line) => line.startsWith(`${SANDBOX_USER}:`))) {
      say(`adding the system user ${SANDBOX_USER}`);
      const args = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"];
      runQuietly(`adding the user ${SANDBOX_USER}`, "useradd", [...args, SANDBOX_USER]);
    }
    for (const [file, option] of [
      ["/etc/subuid", "--add-subuids"],
      ["/etc/subgid", "--add-subgids"],
    ]) {
      if (hasSubIds(file)) continue;
      const first = firstFreeSubId();
      say(`giving ${SANDBOX_USER} the range ${first}–${first + 65535} in ${file}`);
      runQuietly(`giving ${SANDBOX_USER} subordinate ids`, "usermod", [option, `${first}-${first + 65535}`, SANDBOX_USER]);
    }
  },
};

function subIdRanges(file) {
  const rows = (read(file) ?? "").split("\n").map((line) => line.split(":"));
  return rows.filter((row) => row.length === 3).map(([user, start, count]) => ({ user, start: Number(start), count: Number(count) }));
}

function hasSubIds(file) {
  return subIdRanges(file).some((range) => range.user === SANDBOX_USER && range.count >= 65536);
}

/** One range that is free in both files, so that uid and gid of a sandbox can be the same number. */
function firstFreeSubId() {
  const taken = [...subIdRanges("/etc/subuid"), ...subIdRanges("/etc/subgid")].filter((range) => range.user !== SANDBOX_USER);
  const own = [...subIdRanges("/etc/subuid"), ...subIdRanges("/etc/subgid")].find(
    (range) => range.user === SANDBOX_USER && range.count >= 65536,
  );
  if (own !== undefined) return own.start;
  return taken.reduce((first, range) => Math.max(first, range.start + range.count), 100_000);
}
