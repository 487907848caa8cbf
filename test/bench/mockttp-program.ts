/** mockttp as a transparent TLS gateway in front of the bench's upstream: the nearest thing that Node programs embed. */
import { generateCACertificate, getLocal } from "mockttp";
import { parameters, serve } from "./program.ts";

const { upstreamPort, upstreamCa } = parameters<{ readonly upstreamPort: number; readonly upstreamCa: string }>();

const authority = await generateCACertificate();
const server = getLocal({ https: authority, recordTraffic: false, http2: false });
await server.start();
await server.forAnyRequest().thenForwardTo(`https://localhost:${upstreamPort}`, { additionalTrustedCAs: [{ cert: upstreamCa }] });
serve({ port: server.port, ca: authority.cert }, {}, () => server.stop());
