import type { EgressGeneration } from "../egress/egress-policy.ts";
import type { LlmCatalog } from "../facade.ts";

/** What is recognised and what it costs, under the generation in force. The tables are loaded by those who ask. */
export function createLlmCatalog(options: { readonly generation: () => EgressGeneration; readonly now: () => number }): LlmCatalog {
  const { generation, now } = options;
  return {
    async providers() {
      const [{ listProviders }, { countPrices }] = await Promise.all([
        import("../../providers/table.ts"),
        import("../../usage/price-list.ts"),
      ]);
      const { llm } = generation().config;
      if (!llm.enabled) return [];
      return listProviders(llm).map(({ provider, name, source, hosts, shapes, operations, includeUsage }) => ({
        provider,
        name,
        source,
        hosts: [...hosts],
        shapes: [...shapes],
        operations: [...operations],
        include_usage: llm.includeUsage === "off" ? false : includeUsage,
        priced_models: countPrices(provider),
      }));
    },
    async prices(query) {
      const { listPrices } = await import("../../usage/price-list.ts");
      const { config, ownPrices } = generation();
      return {
        currency: "USD",
        unknown_price: config.llm.unknownPrice,
        price_file: config.llm.priceFile,
        prices: [...listPrices(query, ownPrices, now())],
      };
    },
  };
}
