// The capture half of a sidecar, for a snapshot given as JSON; every session answers with the name of its resource.
import type { GrantedResource } from '@chaperone/policy';
import { startDenyListener } from '../deny.ts';
import { startDns } from '../dns.ts';
import { createListeners } from '../listener.ts';
import { RESERVED_PORT, reservedAddress } from '../rules.ts';
import { OwnLook } from '../watch.ts';

const [resources = '[]', nonce = ''] = process.argv.slice(2);
const listeners = createListeners({
  mode: 'virtual',
  onConnection: (socket, resource) => void socket.end(`resource ${resource.access.resource.name}`),
});
const { failed } = await listeners.apply({ resources: JSON.parse(resources) as GrantedResource[] });
if (failed.length > 0) throw new Error(JSON.stringify(failed));
await startDns({ port: 15053, search: ['agents.svc.cluster.local'], index: () => listeners.index });
const onDenied = (): void => undefined;
const reserved = reservedAddress('240.240.0.0/16');
const own = new OwnLook({ port: 15011, reserved });
await startDenyListener({ port: 15001, nonce, own: own.question, onDenied });
await startDenyListener({ hosts: [reserved], port: RESERVED_PORT, nonce, own: own.question, onDenied });
// Each line that it is sent is answered with what one look at its own capture says.
process.stdin.on('data', () => void own.look().then((problem) => process.stdout.write(`${problem ?? 'proven'}\n`)));
process.stdout.write('ready\n');
