import { expect, it } from "vitest";
import { hideSecrets, plainSecrets } from "./plain-secrets.ts";

const STREAMS = [
  {
    destination: {
      type: "http_webhook",
      url: "https://a.example",
      authorization: "Bearer s3cret",
      headers: { "x-key": "k", "x-ref": { env: "K" } },
    },
  },
  { destination: { type: "splunk", url: "https://b.example", token: { vault: "hec" } } },
  { destination: { type: "http_webhook", url: "https://c.example", secret: { env: "A" }, secrets: ["whsec_a", { file: "/b" }] } },
];

it("names every secret that stands in the file as a text", () => {
  expect(plainSecrets("audit.streams", STREAMS)).toEqual([
    "audit.streams[0].destination.authorization",
    "audit.streams[0].destination.headers.x-key",
    "audit.streams[2].destination.secrets[0]",
  ]);
});

it("shows references and hides texts", () => {
  const shown = JSON.stringify(hideSecrets(STREAMS));
  for (const secret of ["s3cret", '"k"', "whsec_a"]) expect(shown).not.toContain(secret);
  for (const kept of ["https://a.example", '{"env":"K"}', '{"vault":"hec"}', '{"file":"/b"}']) expect(shown).toContain(kept);
});
