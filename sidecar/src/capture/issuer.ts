import type { TLSSocket } from 'node:tls';

/**
 * Who signed the certificate that a server shows, as the certificate names them, for the owner of the resource: it was not proven,
 * and the server chose it. Known once the handshake came to a verdict, also where that is a refusal; undefined where it did not.
 */
export function issuerOf(socket: TLSSocket): () => string | undefined {
  let issuer: string | undefined;
  // Node destroys the socket, and forgets the certificate with it, in its own listener.
  socket.prependOnceListener('secure', () => {
    issuer = nameIn(socket.getPeerX509Certificate()?.issuer ?? '');
  });
  return () => issuer;
}

/** The common name, or else the organization, of a distinguished name with one attribute a line. */
function nameIn(distinguishedName: string): string | undefined {
  const attribute = (type: string): string | undefined => new RegExp(`^${type}=(.+)$`, 'm').exec(distinguishedName)?.[1];
  return attribute('CN') ?? attribute('O');
}
