import type { Socket } from 'node:net';
import { DISCONNECT } from '../wire/error.ts';
import { type ClientSettings, Connection, type ServerSettings } from '../wire/connection.ts';

/** Bytes that wait for a peer that reads slowly. */
const WAITING = {
  /** Data stays with its channels, and so with who sends it. */
  holdData: 1024 * 1024,
  /** Nothing more is read of a peer that makes us answer, and reads no answers. Data alone never comes to this. */
  stopReading: 4 * 1024 * 1024,
  /** What others make us send to it, such as requests, has no window: it is gone. */
  giveUp: 16 * 1024 * 1024,
};
const TICK_MS = 1_000;
/** For a peer to take our last words. */
const LINGER_MS = 2_000;

type WithoutOutput<T> = T extends unknown ? Omit<T, 'output'> : never;

/**
 * Runs a connection over a socket: all that one chunk of input, or one turn of the program, causes goes out in one write. The
 * socket is the connection's from now on, and is closed with it.
 * @throws SshError where the settings leave no way to prove who the server is
 */
export function connect(
  socket: Socket,
  settings: WithoutOutput<ServerSettings | ClientSettings>,
  now: () => number = Date.now,
): Connection {
  let isCorked = false;
  const uncork = (): void => {
    isCorked = false;
    socket.uncork();
  };
  const output = (bytes: Buffer): void => {
    if (!isCorked) {
      isCorked = true;
      socket.cork();
      process.nextTick(uncork);
    }
    socket.write(bytes);
    if (socket.writableLength > WAITING.holdData) hold();
  };
  const hold = (): void => {
    connection.setWritable(false);
    if (socket.writableLength > WAITING.stopReading) socket.pause();
    if (socket.writableLength > WAITING.giveUp)
      setImmediate(() => connection.disconnect(DISCONNECT.connectionLost, 'nothing is read'));
  };
  const connection: Connection = new Connection({
    ...settings,
    output,
    onEnd: (error) => {
      clearInterval(ticks);
      socket.end();
      setTimeout(() => socket.destroy(), LINGER_MS).unref();
      settings.onEnd(error);
    },
  });
  const ticks = setInterval(() => connection.tick(now()), TICK_MS);
  ticks.unref();
  connection.tick(now());
  socket.setNoDelay(true);
  socket.on('data', (chunk: Buffer) => connection.receive(chunk));
  socket.on('drain', () => {
    connection.setWritable(true);
    socket.resume();
  });
  for (const event of ['end', 'error', 'close']) socket.on(event, () => connection.lose());
  return connection;
}
