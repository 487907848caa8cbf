import { userInfo } from "node:os";
import type { Caller } from "./facade.ts";

/** The user of the operating system that this process runs as. */
export function systemUser(): Caller {
  return { actor: { kind: "user", user_id: userName() } };
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    // an uid without an entry in passwd, as in many containers: the number says as much
    return `uid:${process.getuid?.() ?? "unknown"}`;
  }
}
