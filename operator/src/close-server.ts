import type { Server } from 'node:http';
import type { Server as HttpsServer } from 'node:https';

/** How long an answer that was begun may take; less than the API server waits for one. */
const LAST_ANSWERS_MS = 2_000;

/**
 * Takes no new connection, ends idle ones, and lets answers that were begun come to their end, for `lastAnswersMs` at most: a
 * review that is cut off refuses somebody's pod. Resolves when every connection is closed.
 */
export async function closeServer(server: Server | HttpsServer, lastAnswersMs = LAST_ANSWERS_MS): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    // An error says that it listened no more.
    server.close(() => resolve());
  });
  const timer = setTimeout(() => server.closeAllConnections(), lastAnswersMs);
  await closed;
  clearTimeout(timer);
}
