import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, freePort } from '@chaperone/testing';

/** Found once. */
let binary: string | undefined;

/** A real nats-server with one user per role and exactly the rights that the design gives it. */
export class Nats {
  readonly url: string;
  readonly port: number;
  /** Where it keeps its streams. */
  readonly store: string;
  readonly #config: string;
  #process: ChildProcess | undefined;

  private constructor(directory: string, port: number) {
    this.#config = join(directory, 'nats.conf');
    this.store = join(directory, 'jetstream');
    this.port = port;
    this.url = `nats://127.0.0.1:${port}`;
  }

  /** `sidecar` and `collector` are public nkeys. */
  static async start(directory: string, sidecar: string, collector: string): Promise<Nats> {
    await mkdir(directory, { recursive: true });
    const port = await freePort();
    const nats = new Nats(directory, port);
    await writeFile(
      nats.#config,
      `listen: 127.0.0.1:${port}
jetstream { store_dir: "${nats.store}" }
authorization { users = [
  { nkey: ${sidecar}, permissions: { publish: ["evidence.${sidecar}.>"], subscribe: ["receipt.${sidecar}", "_INBOX.${sidecar}.>"] } }
  { nkey: ${collector}, permissions: {
      publish: ["receipt.*", "$JS.API.STREAM.INFO.EVIDENCE", "$JS.API.STREAM.CREATE.EVIDENCE", "$JS.API.CONSUMER.*.EVIDENCE.>", "$JS.API.CONSUMER.MSG.NEXT.EVIDENCE.>", "$JS.ACK.EVIDENCE.>", "$JS.API.INFO"],
      subscribe: ["_INBOX.>"] } }
] }
`,
    );
    await nats.up();
    return nats;
  }

  /** Starts it, and waits for nothing. */
  spawn(): void {
    binary ??= execFileSync(fileURLToPath(new URL('../../scripts/nats-server', import.meta.url)), { encoding: 'utf8' }).trim();
    this.#process = spawn(binary, ['-c', this.#config], { stdio: 'ignore' });
  }

  async up(): Promise<void> {
    this.spawn();
    await eventually('nats-server', async () => {
      const socket = createConnection(this.port, '127.0.0.1');
      try {
        await once(socket, 'connect');
        return true;
      } finally {
        socket.destroy();
      }
    });
  }

  async kill(): Promise<void> {
    await end(this.#process, 'SIGKILL');
  }
}

/** Ends one child process and waits until it is gone. */
export async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'close');
  child.kill(signal);
  await gone;
}
