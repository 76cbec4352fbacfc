import type { Socket } from 'node:net';

export interface SpliceOptions {
  readonly agent: Socket;
  readonly upstream: Socket;
  /** Bytes of both directions together; undefined: no limit. */
  readonly maxBytes: number | undefined;
  /** What was read from the agent already and goes first. */
  readonly head: Buffer;
  readonly onActivity: () => void;
}

export interface Splice {
  readonly sent: number;
  readonly received: number;
  /** Resolves when both directions have ended, or one broke. LimitReached: the byte limit would have been passed. */
  readonly done: Promise<'ended' | 'LimitReached'>;
}

/** Time for the other direction to end once one has. */
const HALF_CLOSED_MS = 5 * 60_000;

/** Time for a peer to take what was written before its socket is closed. */
const FLUSH_MS = 5_000;

/**
 * Copies both ways until both have ended. A side that does not read stops the other from being read, so memory stays at the
 * sockets' own buffers. The end of one direction is passed on and the other goes on. Both sockets are closed afterwards.
 */
export function splice({ agent, upstream, maxBytes, head, onActivity }: SpliceOptions): Splice {
  const counts = { sent: 0, received: 0 };
  const { promise, resolve } = Promise.withResolvers<'ended' | 'LimitReached'>();
  let lingering: NodeJS.Timeout | undefined;
  const finish = (how: 'ended' | 'LimitReached'): void => {
    clearTimeout(lingering);
    for (const socket of [agent, upstream]) closeSoon(socket);
    resolve(how);
  };
  const forward = (chunk: Buffer, from: Socket, to: Socket, direction: 'sent' | 'received'): void => {
    if (maxBytes !== undefined && counts.sent + counts.received + chunk.length > maxBytes) return finish('LimitReached');
    counts[direction] += chunk.length;
    onActivity();
    if (!to.write(chunk)) {
      from.pause();
      to.once('drain', () => from.resume());
    }
  };
  let ends = 0;
  const join = (from: Socket, to: Socket, direction: 'sent' | 'received'): void => {
    from.allowHalfOpen = true;
    from.on('data', (chunk: Buffer) => forward(chunk, from, to, direction));
    from.on('end', () => {
      ends += 1;
      to.end(() => {
        if (ends === 2) finish('ended');
      });
      lingering ??= setTimeout(() => finish('ended'), HALF_CLOSED_MS);
    });
    from.on('close', () => finish('ended'));
  };
  join(agent, upstream, 'sent');
  join(upstream, agent, 'received');
  if (agent.destroyed || upstream.destroyed) finish('ended');
  else {
    forward(head, agent, upstream, 'sent');
    agent.resume();
  }
  return {
    get sent() {
      return counts.sent;
    },
    get received() {
      return counts.received;
    },
    done: promise,
  };
}

/** Closes once what was written is out, and soon in any case. */
export function closeSoon(socket: Socket): void {
  const timer = setTimeout(() => socket.destroy(), FLUSH_MS);
  socket.once('close', () => clearTimeout(timer));
  if (socket.destroyed) clearTimeout(timer);
  socket.destroySoon();
}
