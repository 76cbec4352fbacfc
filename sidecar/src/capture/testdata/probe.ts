// What a process sees that tries to get somewhere: one line of JSON per way, in order.
import { createSocket } from 'node:dgram';
import { resolve4, setServers } from 'node:dns/promises';
import { connect } from 'node:net';

interface Way {
  readonly by: 'tcp' | 'udp' | 'dns';
  readonly host: string;
  readonly port: number;
  readonly name?: string;
  /** Local port to send from. */
  readonly from?: number;
}

function tcp({ host, port, from }: Way): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, ...(from === undefined ? {} : { localPort: from }) });
    let text = '';
    socket.setTimeout(1500, () => (socket.destroy(), resolve('silence')));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(text || (error.code ?? 'error')));
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('end', () => (socket.destroy(), resolve(text || 'closed')));
  });
}

function udp({ host, port, from }: Way): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const end = (text: string): void => {
      clearTimeout(timer);
      resolve(text);
      socket.close();
    };
    const timer = setTimeout(() => end('silence'), 1500);
    socket.on('message', (message) => end(message.toString()));
    const send = (): void => socket.send('hello', port, host, (error) => error !== null && end((error as NodeJS.ErrnoException).code ?? 'error'));
    if (from === undefined) send();
    else socket.bind(from, send);
  });
}

async function dns({ host, port, name = '' }: Way): Promise<string> {
  setServers([`${host.includes(':') ? `[${host}]` : host}:${port}`]);
  try {
    return (await resolve4(name)).join(' ');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'error';
  }
}

for (const way of JSON.parse(process.argv[2] ?? '[]') as Way[])
  process.stdout.write(`${JSON.stringify(await (way.by === 'tcp' ? tcp(way) : way.by === 'udp' ? udp(way) : dns(way)))}\n`);
process.exit(0);
