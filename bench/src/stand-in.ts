import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { signRegistration, x25519Holder } from '@chaperone/evidence';
import { testAuthority } from '@chaperone/testing';
import type { Collected } from './collected.ts';

/** What a sidecar is granted, as far as an operator says it: the rest of the snapshot is made at enrolment. */
export interface Grant {
  readonly agent: { readonly namespace: string; readonly serviceAccount: string };
  readonly resources: readonly { readonly hosts: readonly string[] }[];
}

/** To whom data keys are wrapped where nobody takes evidence. */
const NOBODY = x25519Holder(Buffer.alloc(32, 1)).name;

/** An operator as far as one sidecar sees it; nothing of what is measured. Without `collected` there is no broker behind the address it gives. */
export async function startOperator(
  grant: Grant,
  collected?: Collected,
): Promise<AsyncDisposable & { address: string; ca: string }> {
  const authority = await testAuthority('stand-in operator');
  const { certificate, key } = await authority.issue(['127.0.0.1']);
  let publicKey = '';
  const snapshot = async (): Promise<object> => ({
    revision: 'bench',
    ...grant,
    inboundPorts: [],
    certificate: await authority.certify(
      publicKey,
      grant.resources.flatMap(({ hosts }) => hosts),
    ),
    ca: authority.ca,
    validForMs: 3_600_000,
  });
  const nats = {
    url: collected?.url ?? 'nats://127.0.0.1:1',
    jwt: 'none',
    expiresAt: Date.now() + 86_400_000,
    ...(collected === undefined ? {} : { log: collected.log }),
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    if (request.url === '/v1/enrol') {
      const asked = JSON.parse(Buffer.concat(chunks).toString()) as { tlsPublicKey: string; nkey: string };
      publicKey = asked.tlsPublicKey;
      const { namespace, serviceAccount } = grant.agent;
      const said = { nkey: asked.nkey, agent: { namespace, serviceAccount }, origin: 'bench', issuedAt: Date.now() };
      // The sidecar reads the log's name from it and nothing else; collectors check signatures.
      const registration =
        collected === undefined
          ? { body: JSON.stringify(said), signature: 'unread' }
          : signRegistration({ ...said, origin: collected.origin }, collected.enrolment);
      const recipients = [collected?.recipient ?? NOBODY];
      response.end(JSON.stringify({ protocol: 1, origin: 'bench', registration, recipients, nats, snapshot: await snapshot() }));
    } else if (request.url === '/v1/stream') {
      response.write(`${JSON.stringify({ type: 'snapshot', snapshot: await snapshot() })}\n`);
      const timer = setInterval(
        () => response.write(`${JSON.stringify({ type: 'heartbeat', validForMs: 3_600_000 })}\n`),
        10_000,
      );
      response.on('close', () => clearInterval(timer));
    } else response.writeHead(204).end();
  };
  const server = createServer({ cert: certificate, key }, (request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    ca: authority.ca,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
