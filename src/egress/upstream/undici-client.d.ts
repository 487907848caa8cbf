/** undici's client alone: its index loads fetch, caches and mocks as well, which takes twice the memory and time. */
declare module "undici/lib/dispatcher/client.js" {
  import type { Client } from "undici";
  const HttpClient: typeof Client;
  export default HttpClient;
}
