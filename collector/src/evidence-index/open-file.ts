import { renameSync, rmSync } from 'node:fs';
import type { Logger } from '../ingest.ts';
import { type IndexEngine, IndexError } from './engine.ts';
import { openSqlite } from './sqlite.ts';

/** SQLITE_CORRUPT and SQLITE_NOTADB, https://sqlite.org/rescode.html; extended codes have more in the upper bits. */
const DAMAGED: ReadonlySet<number> = new Set([11, 26]);

/**
 * Opens the index in a file. One that is no index, or a damaged one, is put aside as `index.sqlite.damaged` for whoever wants to look at it:
 * the new one is empty, and is filled from the objects, which are the evidence.
 * @throws IndexError
 */
export function openFile(path: string, logger: Logger): IndexEngine {
  try {
    return openSqlite(path);
  } catch (error) {
    if (!isDamage(error)) throw unreadable(path, error);
    logger.warn('the index is damaged; it is put aside and built again from the objects', { code: 'IndexDamaged' });
  }
  try {
    renameSync(path, `${path}.damaged`);
    for (const rest of ['-wal', '-shm']) rmSync(`${path}${rest}`, { force: true });
    return openSqlite(path);
  } catch (error) {
    throw unreadable(path, error);
  }
}

function isDamage(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' && DAMAGED.has(error.errcode % 256);
}

function unreadable(path: string, cause: unknown): IndexError {
  const why = cause instanceof Error ? cause.message : 'unknown fault';
  return new IndexError(`the index ${path} cannot be opened: ${why} (IndexUnreadable)`, { cause });
}
