import { type Form, formsOf } from "../../secrets/forms.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Mask } from "../exchange/shown-body.ts";
import type { Judge } from "../judge.ts";
import type { GatewaySecret } from "../options.ts";

/** Forms of placeholders and values, made once for each. */
export class FormsOfSecrets {
  readonly #placeholders = new WeakMap<GatewaySecret, readonly Form[]>();
  readonly #values = new WeakMap<GatewaySecret, readonly Form[]>();

  ofPlaceholder(secret: GatewaySecret): readonly Form[] {
    return cached(this.#placeholders, secret, () => formsOf(secret.placeholder, secret.placeholder));
  }

  ofValue(secret: GatewaySecret): readonly Form[] {
    return cached(this.#values, secret, () => formsOf(secret.value.reveal(), secret.placeholder));
  }
}

function cached(map: WeakMap<GatewaySecret, readonly Form[]>, secret: GatewaySecret, make: () => readonly Form[]): readonly Form[] {
  let forms = map.get(secret);
  if (forms === undefined) {
    forms = make();
    map.set(secret, forms);
  }
  return forms;
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
