import { expect, test } from "vitest";
import { openInside } from "../support/gateway/client.ts";
import { gatewayFixture } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

const HOST = "allowed.example.com";

test("events arrive within 50 ms of being sent (median of 20), each by itself", async () => {
  await using upstream = await testUpstream((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    let left = 20;
    const send = (): void => {
      response.write(`data: ${performance.now()}\n\n`);
      left -= 1;
      if (left > 0) setTimeout(send, 10);
      else response.end();
    };
    setTimeout(send, 10);
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const response = await openInside(fixture, `https://${HOST}/`);
  const delays: number[] = [];
  for await (const chunk of response) {
    const now = performance.now();
    for (const match of String(chunk).matchAll(/data: ([\d.]+)/g)) delays.push(now - Number(match[1]));
  }
  expect(delays).toHaveLength(20);
  expect(delays.sort((a, b) => a - b)[10]).toBeLessThan(50);
});

test("the head of a stream arrives before its first event", async () => {
  let send: () => void = () => undefined;
  await using upstream = await testUpstream((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.flushHeaders();
    send = () => response.end("data: late\n\n");
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const response = await openInside(fixture, `https://${HOST}/`);
  expect(response.statusCode).toBe(200);
  send();
  let text = "";
  for await (const chunk of response) text += String(chunk);
  expect(text).toBe("data: late\n\n");
});
