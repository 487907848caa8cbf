import { createBodyDecoder, TAP_LIMITS } from "../../providers/decode/body-decoder.ts";
import type { Form } from "../../secrets/forms.ts";
import { StreamScan } from "../../secrets/scan.ts";
import type { BodyGuard } from "../exchange/request-body.ts";

/**
 * Looks for texts in a request body as it passes, decoded where it is compressed. `chunk` and `end` say true when one was found; the
 * memory it needs does not grow with the body.
 */
export class BodyScan implements BodyGuard {
  readonly #scan: StreamScan;
  readonly #decoder: ReturnType<typeof createBodyDecoder>;
  readonly isLate: boolean;
  /** number of the text that was found; -1: none so far */
  found = -1;

  constructor(texts: readonly Form[], contentEncoding: string | undefined) {
    this.#scan = new StreamScan(texts);
    const isPlain = isIdentity(contentEncoding);
    this.isLate = !isPlain;
    this.#decoder = isPlain
      ? null
      : createBodyDecoder(contentEncoding, TAP_LIMITS, (chunk) => {
          if (this.found === -1) this.found = this.#scan.write(chunk);
        });
  }

  chunk(bytes: Buffer): boolean {
    if (this.#decoder !== null) this.#decoder.write(bytes);
    // a coding that nobody here knows is searched as it is
    else if (this.found === -1) this.found = this.#scan.write(bytes);
    return this.found !== -1;
  }

  async end(): Promise<boolean> {
    await this.#decoder?.end();
    return this.found !== -1;
  }
}

/** Whether a body with this Content-Encoding is what it says. */
export function isIdentity(contentEncoding: string | undefined): boolean {
  return contentEncoding === undefined || contentEncoding.trim().toLowerCase() === "identity";
}
