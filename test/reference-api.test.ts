import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ERRORS } from "../src/base/error.ts";
import { openApiDocument } from "../src/server/openapi.ts";
import { renderReference } from "../src/server/reference.ts";
import { ROUTES } from "../src/server/routes/all.ts";
import { LATER_PATHS } from "../src/server/routes/later.ts";

type Json = { readonly [key: string]: unknown };
const document = JSON.parse(JSON.stringify(openApiDocument(ROUTES, "0"))) as Json & {
  readonly paths: Record<
    string,
    Record<string, Json & { readonly parameters?: readonly Json[]; readonly responses: Record<string, Json> }>
  >;
};
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ method, path, operation })),
);

describe("the OpenAPI document", () => {
  it("is 3.1 and has title and version", () => {
    expect(document).toMatchObject({ openapi: "3.1.0", info: { title: "agentkernel", version: "0" } });
  });

  it("has every route, and no other", () => {
    const routed = ROUTES.map(({ method, path }) => `${method} ${path}`).sort();
    expect(routed.length).toBeGreaterThan(30);
    expect(operations.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(routed);
  });

  it("declares every parameter of every path, and no other", () => {
    for (const { method, path, operation } of operations) {
      const declared = (operation.parameters ?? []).filter((one) => one["in"] === "path").map((one) => one["name"]);
      expect(declared, `${method} ${path}`).toEqual([...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]));
    }
  });

  it("says of every operation what it answers and how it fails, by codes of the table", () => {
    for (const { method, path, operation } of operations) {
      const statuses = Object.keys(operation.responses);
      expect(
        statuses.some((status) => /^[12]/.test(status)),
        `${method} ${path}`,
      ).toBe(true);
      expect(statuses, `${method} ${path}`).toEqual(expect.arrayContaining(["400", "403", "500"]));
      for (const [status, { description }] of Object.entries(operation.responses)) {
        for (const [, code] of String(description).matchAll(/`([A-Z_]+)`/g))
          expect(String(ERRORS[code as keyof typeof ERRORS].status)).toBe(status);
      }
    }
  });

  it("resolves every reference", () => {
    const references = [...JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1] ?? "");
    expect(references.length).toBeGreaterThan(10);
    for (const reference of references) {
      const found = reference
        .split("/")
        .slice(1)
        .reduce<unknown>((at, key) => (at as Json | undefined)?.[key], document);
      expect(found, reference).toBeDefined();
    }
  });

  it("leaves no body open to unknown keys", () => {
    for (const route of ROUTES) {
      const body = route.inputs.body;
      if (body !== undefined)
        expect(
          body.safeParse({ surely_unknown: 1 }).error?.issues.some(({ code }) => code === "unrecognized_keys"),
          route.path,
        ).toBe(true);
    }
  });

  it("keeps later paths out", () => {
    for (const { path } of LATER_PATHS) expect(document.paths[path.replaceAll(/:(\w+)/g, "{$1}")]).toBeUndefined();
  });
});

it("docs/reference/api.md is what the document says (node scripts/generate-reference-api.ts)", () => {
  expect(readFileSync(new URL("../docs/reference/api.md", import.meta.url), "utf8")).toBe(renderReference(openApiDocument(ROUTES, "0")));
});
