import { type Sql, textOf } from "./sql.ts";

/** Where the calls of every further model are summed. */
const OTHER_MODEL = "_other";

/** models of one sandbox that are told apart, and how many of them no provider needs to have served */
const MODELS = 200;
const UNSERVED = 100;
/** sandboxes whose models are remembered */
const REMEMBERED = 1_000;

/**
 * Names of models are the sandbox's to invent: past so many its calls are summed under `_other`. Names that a provider refused to serve
 * take half of the places at most, so that they cannot crowd out the models that are used.
 */
export class ModelNames {
  readonly #sql: Sql;
  /** by sandbox: providers and models that have their place */
  readonly #known = new Map<string, Set<string>>();

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /** The name that the call is summed under. */
  nameFor(sandboxUuid: string, call: { readonly provider: string; readonly model: string; readonly wasServed: boolean }): string {
    const { provider, model, wasServed } = call;
    const known = this.#knownOf(sandboxUuid);
    const key = `${provider}\0${model}`;
    if (known.has(key)) return model;
    if (known.size >= (wasServed ? MODELS : UNSERVED)) return OTHER_MODEL;
    known.add(key);
    return model;
  }

  /** After sums were taken away, or a booking was undone. */
  forget(): void {
    this.#known.clear();
  }

  #knownOf(uuid: string): Set<string> {
    let known = this.#known.get(uuid);
    if (known === undefined) {
      const rows = this.#sql.all("SELECT DISTINCT provider, model FROM llm_usage WHERE sandbox_uuid = ? AND model <> ?", uuid, OTHER_MODEL);
      known = new Set(rows.map((row) => `${textOf(row, "provider")}\0${textOf(row, "model")}`));
      if (this.#known.size >= REMEMBERED) this.#known.clear();
      this.#known.set(uuid, known);
    }
    return known;
  }
}
