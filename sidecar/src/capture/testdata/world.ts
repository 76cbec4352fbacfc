// Everything outside the pod: servers at the addresses given, which answer `world` to whoever reaches them.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

const [addresses = ''] = process.argv.slice(2);
for (const address of addresses.split(',')) {
  for (const port of [53, 80, 443]) {
    const server = createServer((socket) => socket.on('error', () => undefined).end('world')).listen({ host: address, port, ipv6Only: true });
    await once(server, 'listening');
    const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    udp.on('message', (_message, from) => udp.send('world', from.port, from.address));
    udp.bind(port, address);
    await once(udp, 'listening');
  }
}
process.stdout.write('ready\n');
