import { loadModule, parseSync, SqlError } from 'libpg-query';
import { parentPort } from 'node:worker_threads';
import { classify, split } from './classify.ts';
import { references } from './references.ts';
import type { References, Statement } from './statement.ts';

/** The thread around libpg-query. It answers with the small result of reading a tree, never with the tree. */
export interface Request {
  readonly id: number;
  readonly sql: string;
  readonly want: 'classify' | 'references';
}
export type Reply =
  | { readonly type: 'ready' }
  | { readonly type: 'classified'; readonly id: number; readonly statements: Statement[] }
  | { readonly type: 'referenced'; readonly id: number; readonly queries: References[] }
  /** The grammar refuses it; the parser is sound. `position` counts characters from 1. */
  | { readonly type: 'syntax'; readonly id: number; readonly position: number }
  /** Anything else: C code was unwound without its cleaning up, so this thread must not parse again. */
  | { readonly type: 'broken'; readonly id: number };

const port = parentPort;
if (!port) throw new Error('worker.ts runs in a worker thread only');
await loadModule();
port.on('message', (request: Request) => port.postMessage(answer(request)));
port.postMessage({ type: 'ready' } satisfies Reply);

function answer({ id, sql, want }: Request): Reply {
  try {
    const tree: unknown = parseSync(sql);
    if (want === 'classify') return { type: 'classified', id, statements: classify({ sql, tree, parse: parseSync }) };
    return { type: 'referenced', id, queries: split(sql, tree).map(({ node }) => references(node)) };
  } catch (error) {
    if (error instanceof SqlError) return { type: 'syntax', id, position: (error.sqlDetails?.cursorPosition ?? 0) + 1 };
    return { type: 'broken', id };
  }
}
