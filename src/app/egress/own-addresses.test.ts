import { expect, it } from "vitest";
import { AddressWatch } from "./own-addresses.ts";

it("tells once of an address that comes or goes, and nothing of another order", () => {
  let list = ["127.0.0.1", "192.0.2.1"];
  const watch = new AddressWatch(() => list);
  expect(watch.hasChanged()).toBe(false);
  list = ["192.0.2.1", "127.0.0.1"];
  expect(watch.hasChanged()).toBe(false);
  list = [...list, "192.0.2.2"];
  expect([watch.hasChanged(), watch.hasChanged()]).toEqual([true, false]);
  list = ["127.0.0.1"];
  expect([watch.hasChanged(), watch.hasChanged()]).toEqual([true, false]);
});
