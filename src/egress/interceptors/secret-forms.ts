import { type Form, formsOf } from "../../secrets/forms.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Mask } from "../exchange/shown-body.ts";
import type { Judge } from "../judge.ts";
import type { GatewaySecret } from "../options.ts";

type FormsOfMany = { readonly texts: readonly Form[]; readonly owners: readonly GatewaySecret[] };

/** Forms of placeholders and values, made once for each. */
export class FormsOfSecrets {
  readonly #placeholders = new WeakMap<readonly GatewaySecret[], FormsOfMany>();
  readonly #values = new WeakMap<GatewaySecret, readonly Form[]>();

  /** Those of several secrets in one list, and beside it whose they are. */
  ofPlaceholders(secrets: readonly GatewaySecret[]): FormsOfMany {
    return cached(this.#placeholders, secrets, () => {
      const all = secrets.flatMap((secret) => formsOf(secret.placeholder, secret.placeholder).map((form) => ({ secret, form })));
      return { texts: all.map(({ form }) => form), owners: all.map(({ secret }) => secret) };
    });
  }

  ofValue(secret: GatewaySecret): readonly Form[] {
    return cached(this.#values, secret, () => formsOf(secret.value.reveal(), secret.placeholder));
  }
}

function cached<K extends object, V>(map: WeakMap<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

/** What no body shows: the real values of the sandbox and of the organisation, and what looks like a secret. */
export class Masks {
  readonly #forms: FormsOfSecrets;

  constructor(forms: FormsOfSecrets) {
    this.#forms = forms;
  }

  of({ generation }: Exchange, judge: Judge): Mask {
    const { secrets, orgKeys = [] } = generation.egress;
    return {
      forms: [...secrets, ...orgKeys].flatMap((secret) => this.#forms.ofValue(secret)),
      text: (text) => judge.maskText(text),
    };
  }
}
