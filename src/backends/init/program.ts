import { accessSync, constants } from "node:fs";
import { fileURLToPath } from "node:url";
import { AppError } from "../../base/error.ts";
import { PACKAGE_ROOT } from "../../base/package-root.ts";

export type GuestProgram = "init" | "launcher" | "net-helper";

/**
 * Path of a compiled guest program.
 * @throws AppError BACKEND_UNAVAILABLE when it was not built or may not be executed
 */
export function guestProgram(name: GuestProgram): string {
  const path = fileURLToPath(new URL(`guest/build/${process.platform}-${process.arch}/${name}`, PACKAGE_ROOT));
  try {
    accessSync(path, constants.X_OK);
  } catch (cause) {
    throw new AppError("BACKEND_UNAVAILABLE", `the guest program ${name} is not built for ${process.platform}-${process.arch}`, {
      cause,
      hint: "build it: node scripts/build-guest.mjs (needs a C compiler: apt-get install musl-tools)",
      details: { path },
    });
  }
  return path;
}
