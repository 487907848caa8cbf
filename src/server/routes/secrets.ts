import { z } from "zod";
import { AppError } from "../../base/error.ts";
import { secretInfo, secretName, setSecretRequest } from "../../schema/api.ts";
import { type Route, route } from "../route.ts";

const tag = "Secrets";

export const secretRoutes: readonly Route[] = [
  route(
    {
      method: "get",
      path: "/secrets",
      tag,
      summary: "Names and dates of secrets, never values",
      answer: { kind: "json", schema: z.array(secretInfo) },
    },
    {},
    ({ app }) => app.secrets.list(),
  ),
  route(
    {
      method: "post",
      path: "/secrets",
      tag,
      summary: "Set a secret, replacing one of the same name",
      status: 201,
      answer: { kind: "json", schema: secretInfo },
    },
    { body: setSecretRequest },
    async ({ app, caller, body }) => {
      await app.secrets.set(caller, body.name, body.value);
      const info = (await app.secrets.list()).find((secret) => secret.name === body.name);
      if (info === undefined) throw new AppError("CONFLICT", `secret ${body.name} was removed while it was being set`);
      return info;
    },
  ),
  route(
    {
      method: "delete",
      path: "/secrets/{name}",
      tag,
      summary: "Remove a secret",
      answer: { kind: "json", schema: z.string() },
      errors: ["NOT_FOUND"],
    },
    { params: z.strictObject({ name: secretName }) },
    async ({ app, caller, params }) => {
      await app.secrets.remove(caller, params.name);
      return `secret ${params.name} removed`;
    },
  ),
];
