import { expect, test } from "vitest";
import { fetchInside, openInside } from "../support/gateway/client.ts";
import { gatewayFixture, testPolicy } from "../support/gateway/fixture.ts";
import { testUpstream } from "../support/gateway/upstream.ts";

// through the file, the API and SIGHUP's path: test/integration/policy-administration.test.ts
const HOST = "api.example.com";

test.each([
  ["a host that is none", { host: "*.com" }],
  ["a path that is none", { host: HOST, paths: ["no-slash"] }],
  ["a port that is none", { host: HOST, ports: [0] }],
  ["a method that is none", { host: HOST, methods: ["GET /"] }],
])("a policy with %s is refused whole; what there was goes on, connections too", async (_name, wrong) => {
  await using upstream = await testUpstream((request, response) => {
    if (request.url === "/stream") response.write("begun");
    else response.end("ok");
  });
  await using fixture = await gatewayFixture({ allow: [HOST], upstreams: [upstream.override(HOST)] });
  const stream = await openInside(fixture, `https://${HOST}/stream`);
  const next = (): void =>
    fixture.attachment.update({
      ...fixture.egress,
      policy: testPolicy([], { rules: [{ id: "wrong", effect: "allow", origin: "operator", ...wrong }] }, 2),
    });
  expect(next).toThrowError(expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("wrong") }));
  expect((await fetchInside(fixture, `https://${HOST}/`)).status).toBe(200);
  expect(stream.destroyed).toBe(false);
  stream.destroy();
});
