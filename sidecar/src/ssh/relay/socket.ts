import type { Socket } from 'node:net';
import { DISCONNECT } from '../wire/error.ts';
import { free } from '../../lent.ts';
import { type ClientSettings, Connection, type ServerSettings } from '../wire/connection.ts';
import { READ_BYTES, type Reads } from './reads.ts';

/** Bytes that wait for a peer that reads slowly. */
const WAITING = {
  /** Data stays with its channels, and so with who sends it. More than a socket's own mark, so that it tells when it has gone. */
  holdData: 256 * 1024,
  /** So much more may wait where there is memory for it, so that what is read of the other leg at once goes in one write. */
  more: READ_BYTES,
  /** Nothing more is read of a peer that makes us answer, and reads no answers. Data alone never comes to this. */
  stopReading: 4 * 1024 * 1024,
  /** What others make us send to it, such as requests, has no window: it is gone. */
  giveUp: 16 * 1024 * 1024,
};
/** Two packets of 32 KiB of data, and what little goes with them. */
const BLOCK_BYTES = 66 * 1024;
/** Less is copied out of its block, so that what waits never holds many times its bytes. */
const SMALL_BYTES = 16 * 1024;
/**
 * A server sends each packet of data as it has it, and read like that each costs a turn of the event loop and two changes of process.
 * So behind a read of one packet to three, time is given for more to come: the least that a timer can be. Behind a longer one it would
 * be the sender who waits.
 */
const GATHER = { from: 16 * 1024, below: 96 * 1024, ms: 1 };
const TICK_MS = 1_000;
/** For a peer to take our last words. */
const LINGER_MS = 2_000;

type WithoutOutput<T> = T extends unknown ? Omit<T, 'output'> : never;

/**
 * Runs a connection over a socket: all that one turn of the program causes goes out in one write. The socket is the connection's from
 * now on, and is closed with it.
 * @param reads - where the socket was dialled with its `onread`; absent: each read brings a buffer of its own
 * @throws SshError where the settings leave no way to prove who the server is
 */
export function connect(
  socket: Socket,
  settings: WithoutOutput<ServerSettings | ClientSettings>,
  now: () => number = Date.now,
  reads?: Reads,
): Connection {
  // What agents send is read in pieces of 64 KiB, several in one turn of the event loop; what a host sends is one piece.
  const outgoing = new Outgoing(socket, reads === undefined ? (flush) => process.nextTick(flush) : setImmediate);
  const { room } = settings;
  let more = 0;
  const freeMore = (): void => {
    room.free(more);
    more = 0;
  };
  const output = (bytes: Buffer): void => {
    outgoing.write(bytes);
    if (socket.writableLength <= WAITING.holdData) return;
    if (more === 0 && room.take(WAITING.more)) more = WAITING.more;
    if (socket.writableLength > WAITING.holdData + more) hold();
  };
  const hold = (): void => {
    connection.setWritable(false);
    if (socket.writableLength > WAITING.stopReading) socket.pause();
    if (socket.writableLength > WAITING.giveUp)
      setImmediate(() => connection.disconnect(DISCONNECT.connectionLost, 'nothing is read'));
  };
  const gather = (): void => {
    socket.pause();
    setTimeout(() => {
      if (socket.writableLength <= WAITING.stopReading) socket.resume();
    }, GATHER.ms);
  };
  const connection: Connection = new Connection({
    ...settings,
    output,
    onEnd: (error) => {
      clearInterval(ticks);
      outgoing.flush();
      socket.end();
      setTimeout(() => socket.destroy(), LINGER_MS).unref();
      settings.onEnd(error);
    },
  });
  const ticks = setInterval(() => connection.tick(now()), TICK_MS);
  ticks.unref();
  connection.tick(now());
  socket.setNoDelay(true);
  if (reads === undefined)
    socket.on('data', (chunk: Buffer) => {
      connection.receive(chunk);
      free(chunk);
    });
  else
    reads.take = (chunk) => {
      connection.receive(chunk);
      if (chunk.length >= GATHER.from && chunk.length < GATHER.below) gather();
    };
  socket.on('drain', () => {
    freeMore();
    connection.setWritable(true);
    socket.resume();
  });
  for (const event of ['end', 'error', 'close']) socket.on(event, () => connection.lose());
  socket.on('close', freeMore);
  return connection;
}

/** Gathers what one turn of the program sends into one write, in blocks of memory that are freed once they have gone. */
class Outgoing {
  readonly #socket: Socket;
  readonly #atEnd: (flush: () => void) => void;
  #block: Buffer | undefined;
  #used = 0;
  #isScheduled = false;

  /** @param atEnd - calls at the end of what may write more */
  constructor(socket: Socket, atEnd: (flush: () => void) => void) {
    this.#socket = socket;
    this.#atEnd = atEnd;
  }

  write(bytes: Buffer): void {
    if (this.#used + bytes.length > BLOCK_BYTES) this.#push();
    this.#block ??= Buffer.allocUnsafeSlow(Math.max(BLOCK_BYTES, bytes.length));
    this.#used += bytes.copy(this.#block, this.#used);
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#socket.cork();
    this.#atEnd(() => this.flush());
  }

  flush(): void {
    this.#push();
    if (!this.#isScheduled) return;
    this.#isScheduled = false;
    this.#socket.uncork();
  }

  #push(): void {
    const [block, used] = [this.#block, this.#used];
    if (block === undefined) return;
    this.#block = undefined;
    this.#used = 0;
    const bytes = block.subarray(0, used);
    if (used >= SMALL_BYTES) return void this.#socket.write(bytes, () => free(block));
    this.#socket.write(Buffer.from(bytes));
    free(block);
  }
}
