import { deferred } from '../../platform.ts';
import { BACKEND, decodeErrorResponse, encodeParse, encodeSync, MessageReader } from '../wire/index.ts';
import { decideServer } from './limits.ts';
import { treeOf } from './notices.ts';
import type { ServerReads } from './server-reads.ts';
import type { Upstream } from './upstream.ts';

const TIMEOUT_MS = 10_000;

/**
 * Asks this very session whether it prints the tree of what it parses. A pooler that drops startup options, or a server that
 * ignores them, would leave us without lineage; then nothing may be forwarded.
 */
export async function selfTest(upstream: Upstream, reads: ServerReads): Promise<boolean> {
  const { socket } = upstream;
  const reader = new MessageReader({ decide: (type, length) => decideServer(type, length) });
  const answer = deferred<boolean>();
  let printed = false;
  const take = (chunk: Buffer): void => {
    try {
      reader.push(chunk);
      for (let piece = reader.next(); piece !== undefined; piece = reader.next()) {
        if (piece.kind !== 'message') continue;
        if (piece.type === BACKEND.NoticeResponse) printed ||= treeOf(decodeErrorResponse(piece.bytes)) !== undefined;
        else if (piece.type === BACKEND.ReadyForQuery) answer.resolve(printed);
      }
    } catch {
      answer.resolve(false);
    }
  };
  const closed = (): void => answer.resolve(false);
  const timer = setTimeout(closed, TIMEOUT_MS);
  reads.reader = { take, holds: () => false, idle: () => true };
  socket.once('close', closed);
  if (upstream.rest.length > 0) take(upstream.rest);
  socket.write(Buffer.concat([encodeParse({ name: '', query: 'select 1', parameterTypes: [] }), encodeSync()]));
  socket.resume();
  const result = await answer.promise;
  clearTimeout(timer);
  socket.pause();
  socket.off('close', closed);
  return result;
}
