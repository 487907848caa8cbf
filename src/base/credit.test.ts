import { expect, it } from "vitest";
import { ReceiveCredit, SendCredit } from "./credit.ts";

it("never lets more under way than was granted, and loses none", async () => {
  const send = new SendCredit(10);
  let underWay = 0;
  let most = 0;
  const receive = new ReceiveCredit(10, (bytes) => send.grant(bytes));
  let left = 1_000;
  while (left > 0) {
    const n = await send.take(Math.min(left, 7));
    left -= n;
    underWay += n;
    most = Math.max(most, underWay);
    expect(receive.receive(n)).toBe(true);
    if (underWay >= 5) {
      receive.consume(underWay);
      underWay = 0;
    }
  }
  expect(most).toBeLessThanOrEqual(10);
});

it("tells a sender that goes beyond", () => {
  const receive = new ReceiveCredit(4, () => undefined);
  expect(receive.receive(4)).toBe(true);
  expect(receive.receive(1)).toBe(false);
});

it("wakes a waiting sender when the receiver closes", async () => {
  const send = new SendCredit(0);
  const taken = send.take(5);
  send.close();
  expect(await taken).toBe(0);
});
