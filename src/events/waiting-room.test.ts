import { expect, it } from "vitest";
import { WaitingRoom } from "./waiting-room.ts";

it("lets in what fits, the rest later and in order", () => {
  const room = new WaitingRoom(2, 100);
  const admitted: string[] = [];
  const enter = (name: string, bytes: number): void =>
    room.enter(
      bytes,
      () => admitted.push(name),
      () => admitted.push(`${name} refused`),
    );
  for (const name of ["a", "b", "c", "d"]) enter(name, 10);
  expect(admitted).toEqual(["a", "b"]);
  room.leave(1, 10);
  expect(admitted).toEqual(["a", "b", "c"]);
  // a newcomer does not pass those who wait
  room.leave(1, 10);
  enter("e", 1);
  expect(admitted).toEqual(["a", "b", "c", "d"]);
  room.leave(2, 20);
  expect(admitted).toEqual(["a", "b", "c", "d", "e"]);
});

it("counts bytes as well, and one that is larger than the room still gets in alone", () => {
  const room = new WaitingRoom(10, 100);
  const admitted: number[] = [];
  for (const bytes of [500, 1])
    room.enter(
      bytes,
      () => admitted.push(bytes),
      () => undefined,
    );
  expect(admitted).toEqual([500]);
  room.leave(1, 500);
  expect(admitted).toEqual([500, 1]);
  expect(room.bytes).toBe(1);
});

it("refuses when too many wait already", () => {
  const room = new WaitingRoom(1, 100);
  const refused: string[] = [];
  for (let index = 0; index < 100_002; index += 1)
    room.enter(
      1,
      () => undefined,
      (error) => refused.push(error.code),
    );
  expect(refused).toEqual(["AUDIT_UNAVAILABLE"]);
});
