import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { findProgram } from './programs.ts';
import { eventually, freePort, temporaryDirectory } from './temporary.ts';

/** A server of S3 on this machine, with versions, conditions and Object Lock. */
export interface S3Server extends AsyncDisposable {
  readonly endpoint: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Stops the server until `up`; what it stored stays. */
  down(): Promise<void>;
  up(): Promise<void>;
}

/** Starts versitygw over a directory of its own, which goes with it. Throws where `scripts/s3-server` has not built it. */
export async function startS3(): Promise<S3Server> {
  const program = findProgram('versitygw');
  if (program === undefined) throw new Error('versitygw is missing: run scripts/test-programs');
  const directory = await temporaryDirectory();
  const [root, versions, attributes] = ['root', 'versions', 'attributes'].map((name) => join(directory.path, name)) as [
    string,
    string,
    string,
  ];
  for (const path of [root, versions, attributes]) await mkdir(path);
  const port = await freePort();
  const keys = { accessKeyId: 'chaperone', secretAccessKey: 'kept-by-the-test' };
  const start = async (): Promise<() => Promise<void>> => {
    // Attributes in files: not every file system has extended ones.
    const child = spawn(
      program,
      ['--quiet', '--port', `127.0.0.1:${port}`, 'posix', '--versioning-dir', versions, '--sidecar', attributes, root],
      { stdio: 'ignore', env: { ...process.env, ROOT_ACCESS_KEY: keys.accessKeyId, ROOT_SECRET_KEY: keys.secretAccessKey } },
    );
    const ended = once(child, 'exit');
    await eventually('versitygw', async () => {
      const socket = createConnection(port, '127.0.0.1');
      await once(socket, 'connect').finally(() => socket.destroy());
      return true;
    });
    return async () => {
      child.kill('SIGKILL');
      await ended;
    };
  };
  let stop: (() => Promise<void>) | undefined = await start();
  const down = async (): Promise<void> => {
    await stop?.();
    stop = undefined;
  };
  return {
    endpoint: `http://127.0.0.1:${port}`,
    ...keys,
    down,
    async up() {
      stop ??= await start();
    },
    async [Symbol.asyncDispose]() {
      await down();
      await directory[Symbol.asyncDispose]();
    },
  };
}
