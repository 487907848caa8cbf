import { z } from "zod";
import { llmPrices, llmProvider } from "../../schema/llm-catalog.ts";
import { providerId } from "../../schema/provider.ts";
import { type Route, route } from "../route.ts";

const tag = "Model calls";

export const llmCatalogRoutes: readonly Route[] = [
  route(
    {
      method: "get",
      path: "/llm/providers",
      tag,
      summary: "Model APIs that are recognised, in the order in which hosts are looked up",
      answer: { kind: "json", schema: z.array(llmProvider) },
    },
    {},
    ({ app }) => app.llmCatalog.providers(),
  ),
  route(
    {
      method: "get",
      path: "/llm/prices",
      tag,
      summary: "What models cost: the operator's own prices, then the built-in ones",
      description:
        "`model` with `*` lists the names that fit; a plain one is looked up as a call of it would be, at every provider or at `provider`. What has no price is not in the list.",
      answer: { kind: "json", schema: llmPrices },
    },
    { query: z.strictObject({ provider: providerId.optional(), model: z.string().min(1).max(256).optional() }) },
    ({ app, query: { provider, model } }) =>
      app.llmCatalog.prices({ ...(provider === undefined ? {} : { provider }), ...(model === undefined ? {} : { model }) }),
  ),
];
