import { expect, it } from "vitest";
import { Secret } from "../../base/secret.ts";
import type { SandboxEgress } from "../../egress/gateway.ts";
import type { SandboxRecord } from "../../sandbox/record.ts";
import { EgressLinks } from "./egress-links.ts";
import type { EgressGeneration } from "./egress-policy.ts";

type Told = { readonly version: number; readonly secrets: readonly string[] };

function generationOf(version: number, refused: readonly string[] = []): EgressGeneration {
  const policyFor = ({ uuid }: { readonly uuid: string }) => {
    if (refused.includes(uuid)) throw new Error("this generation has no place for it");
    return { ref: { id: "moderate", version }, ports: [80] };
  };
  return { version, upstreams: [], policyFor } as unknown as EgressGeneration;
}

function setUp() {
  let current = generationOf(1);
  let value = "one";
  let broken = "";
  const told = new Map<string, Told>();
  const disposed: string[] = [];
  const secretOf = () => [{ name: "KEY", placeholder: "p", value: new Secret(value), isRevoked: false, seen: value }];
  const tell = (egress: SandboxEgress): void => {
    const secrets = egress.secrets as unknown as readonly { readonly seen: string }[];
    told.set(egress.uuid, { version: egress.policy.ref.version, secrets: secrets.map(({ seen }) => seen) });
  };
  const links = new EgressLinks({
    gateway: () =>
      Promise.resolve({
        trustBundlePem: "",
        attach: (egress: SandboxEgress) => {
          tell(egress);
          return {
            update: tell,
            drain: () => Promise.resolve(),
            [Symbol.asyncDispose]: () => Promise.resolve(void disposed.push(egress.uuid)),
          };
        },
      }),
    generation: () => current,
    secrets: {
      materialise: () => Promise.resolve(secretOf()),
      refresh: (record: SandboxRecord) => {
        if (record.uuid === broken) return Promise.reject(new Error("its value cannot be read"));
        return Promise.resolve(secretOf());
      },
    },
    secretFiles: { open: () => Promise.resolve({ shown: {}, secrets: [], endpoints: [], [Symbol.dispose]: () => undefined }) },
    hostEnv: () => undefined,
    settled: () => Promise.resolve(),
    applied: () => undefined,
  } as unknown as ConstructorParameters<typeof EgressLinks>[0]);
  const attach = async (uuid: string): Promise<void> => {
    const record = { uuid, name: uuid, profile: "moderate", labels: {}, env: {}, allow: [], secrets: [] } as unknown as SandboxRecord;
    const { network } = await links.surroundings(record);
    if (network.kind === "gateway") await network.attach({ tcp: new Map() });
  };
  return {
    links,
    told,
    disposed,
    attach,
    force: (next: EgressGeneration) => (current = next),
    rotate: () => (value = "two"),
    breakFor: (uuid: string) => (broken = uuid),
  };
}

it("puts a generation into force for sandboxes that came after it was prepared", async () => {
  const { links, told, attach, force } = setUp();
  await attach("early");
  const next = generationOf(2);
  const putIntoForce = links.prepare(next);
  await attach("late");
  force(next);
  putIntoForce();
  expect(told.get("early")?.version).toBe(2);
  expect(told.get("late")?.version).toBe(2);
});

it("closes the way out of one that has no place in it", async () => {
  const { links, told, disposed, attach, force } = setUp();
  await attach("early");
  const next = generationOf(2, ["late"]);
  const putIntoForce = links.prepare(next);
  await attach("late");
  force(next);
  putIntoForce();
  expect(disposed).toEqual(["late"]);
  expect(told.get("early")?.version).toBe(2);
});

it("does not bring back a value that was rotated meanwhile", async () => {
  const { links, told, attach, force, rotate } = setUp();
  await attach("early");
  const next = generationOf(2);
  const putIntoForce = links.prepare(next);
  rotate();
  await links.refreshSecrets();
  force(next);
  putIntoForce();
  expect(told.get("early")).toEqual({ version: 2, secrets: ["two"] });
});

it("gives the others their new values when those of one sandbox cannot be read", async () => {
  const { links, told, attach, rotate, breakFor } = setUp();
  for (const uuid of ["first", "second", "third"]) await attach(uuid);
  rotate();
  breakFor("first");
  await expect(links.refreshSecrets()).rejects.toThrow("its value cannot be read");
  expect([told.get("first")?.secrets, told.get("second")?.secrets, told.get("third")?.secrets]).toEqual([["one"], ["two"], ["two"]]);
});
