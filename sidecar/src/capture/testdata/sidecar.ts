// The capture half of a sidecar, for a snapshot given as JSON; every session answers with the name of its resource.
import type { GrantedResource } from '@chaperone/policy';
import { startDenyListener } from '../deny.ts';
import { startDns } from '../dns.ts';
import { createListeners } from '../listener.ts';
import { RESERVED_PORT, reservedAddress } from '../rules.ts';

const [resources = '[]', nonce = ''] = process.argv.slice(2);
const listeners = createListeners({
  mode: 'virtual',
  onConnection: (socket, resource) => void socket.end(`resource ${resource.access.resource.name}`),
});
const { failed } = await listeners.apply({ resources: JSON.parse(resources) as GrantedResource[] });
if (failed.length > 0) throw new Error(JSON.stringify(failed));
await startDns({ port: 15053, search: ['agents.svc.cluster.local'], index: () => listeners.index });
const onDenied = (): void => undefined;
await startDenyListener({ port: 15001, nonce, onDenied });
await startDenyListener({ hosts: [reservedAddress('240.240.0.0/16')], port: RESERVED_PORT, nonce, onDenied });
process.stdout.write('ready\n');
