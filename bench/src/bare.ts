import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { type Database, ROLE } from './database.ts';
import { ended } from './ended.ts';
import type { Started } from './sidecar.ts';

/** The least that a proxy in Node can be: two sockets for each session and nothing between them. No import: each costs memory. */
const PROGRAM = `
const { createServer, connect } = require('node:net');
const [host, port] = process.argv.slice(1);
const server = createServer({ noDelay: true }, (agent) => {
  const upstream = connect({ port: Number(port), host, noDelay: true });
  agent.pipe(upstream).pipe(agent);
  for (const socket of [agent, upstream]) socket.on('error', () => socket.destroy());
});
server.listen(0, '127.0.0.1', () => process.stdout.write(server.address().port + '\\n'));
`;

/** Starts a bare relay to the database, as the floor of what a session may take. */
export async function startBare(database: Database): Promise<Started> {
  const child = spawn(process.execPath, ['-e', PROGRAM, database.host, String(database.port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = ended(child);
  const port = await new Promise<number>((resolve, reject) => {
    child.once('exit', () => reject(new Error('the bare relay ended')));
    createInterface({ input: child.stdout }).once('line', (line) => resolve(Number(line)));
  });
  const common = { host: '127.0.0.1', port, ...ROLE, ca: undefined, pid: child.pid };
  return { paths: [{ name: 'bare relay', ...common }], [Symbol.asyncDispose]: stop };
}
