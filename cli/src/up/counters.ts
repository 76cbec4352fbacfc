import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CounterSource } from '@chaperone/collector';
import { COUNTER_FILE, CounterStatement } from '@chaperone/evidence';
import { dataPaths } from './data-directory.ts';

type Kept = Awaited<ReturnType<CounterSource['list']>>[number];

/** What the sidecars of a data directory counted: in embedded mode nobody else keeps it. What cannot be read is left out. */
export function fileCounters(data: string): CounterSource {
  return {
    list: async () => {
      const agents = await readdir(dataPaths(data).agents, { recursive: true, withFileTypes: true }).catch(() => []);
      const files = agents
        .filter((entry) => entry.isFile() && entry.name === COUNTER_FILE)
        .map((entry) => join(entry.parentPath, entry.name));
      return (await Promise.all(files.map(read))).flat();
    },
  };
}

async function read(path: string): Promise<Kept[]> {
  try {
    const statement = CounterStatement.parse(JSON.parse(await readFile(path, 'utf8')));
    return [{ statement, receivedAt: (await stat(path)).mtimeMs }];
  } catch {
    return [];
  }
}
