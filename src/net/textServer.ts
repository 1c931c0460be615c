import { createServer } from 'node:http';
import type { SocketAddress } from '../kernel/index.js';
import { listenError } from './listenErrors.js';

/** A page of text that is made anew for each who asks. */
export interface TextServer {
  readonly local: SocketAddress;
  close(): void;
}

/** How long a client may take for its request. */
const REQUEST_MS = 10_000;
const MAX_CLIENTS = 64;

/**
 * Serves one path over HTTP, for GET; everything else is 404. Port 0 takes a free one.
 * @throws TandemError as `bindDatagram` of the network
 */
export const serveText = (
  local: SocketAddress,
  path: string,
  page: { readonly contentType: string; readonly render: () => string },
): Promise<TextServer> => {
  const server = createServer(
    { headersTimeout: REQUEST_MS, requestTimeout: REQUEST_MS, maxHeaderSize: 8192 },
    (request, response) => {
      const found = request.method === 'GET' && (request.url ?? '').split('?')[0] === path;
      response.writeHead(found ? 200 : 404, { 'Content-Type': found ? page.contentType : 'text/plain' });
      response.end(found ? page.render() : 'not found\n');
    },
  );
  server.maxConnections = MAX_CLIENTS;
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError('http', local, error)));
    server.listen({ host: local.address, port: local.port }, () => {
      const bound = server.address() as SocketAddress;
      const close = (): void => {
        server.close();
        server.closeAllConnections();
      };
      resolve({ local: { address: bound.address, port: bound.port }, close });
    });
  });
};
