import { expect, it } from "vitest";
import { AppError, firstFault, messageOf } from "./error.ts";

async function failing(): Promise<void> {
  await using _outer = { [Symbol.asyncDispose]: () => Promise.reject(new Error("cannot close either")) };
  await using _inner = { [Symbol.asyncDispose]: () => Promise.reject(new Error("cannot clear up")) };
  throw new AppError("DISK_FULL", "the disk is full");
}

it("finds the fault that clearing up after it hid", async () => {
  const error: unknown = await failing().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(SuppressedError);
  expect(firstFault(error)).toMatchObject({ code: "DISK_FULL" });
  expect(messageOf(error)).toBe("the disk is full");
  expect(messageOf(new Error("outer", { cause: error }))).toBe("outer: the disk is full");
});

it("leaves everything else as it is", () => {
  const error = new Error("x");
  expect(firstFault(error)).toBe(error);
  expect(firstFault(undefined)).toBeUndefined();
});
