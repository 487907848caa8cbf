/**
 * How a credential stands in its header: `bearer` behind `Bearer `, or alone where the client writes it alone; `raw` alone; `sigv4` signs
 * the request with it.
 */
export const SECRET_SCHEMES = ["bearer", "raw", "sigv4"] as const;

export type SecretScheme = (typeof SECRET_SCHEMES)[number];

/** A header that carries a credential. */
export type AuthHeader = { readonly header: string; readonly scheme: SecretScheme };
