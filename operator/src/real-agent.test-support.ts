import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Client } from 'pg';

const say = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`);
const why = (error: unknown): string => (error instanceof Error ? error.message : 'unknown');

/**
 * An agent with a stock client: `node real-agent.test-support.ts CA`. A line of JSON asks it to run a statement in one of its sessions,
 * a line of JSON answers; one more says how a session ended that it did not end itself.
 */
if (import.meta.main) {
  const ca = readFileSync(process.argv[2] ?? '', 'utf8');
  const sessions = new Map<string, Promise<Client>>();

  const open = async (session: string, host: string): Promise<Client> => {
    const client = new Client({ host, port: 5432, user: 'bot', database: 'orders', ssl: { ca } });
    // What the server said comes first; that it closed the connection is an error of its own.
    let first: string | undefined;
    client.on('error', (error) => (first ??= why(error)));
    client.on('end', () => {
      if (sessions.delete(session)) say({ session, ended: first ?? 'the connection was closed' });
    });
    await client.connect();
    return client;
  };

  createInterface({ input: process.stdin }).on('line', (line) => {
    const { id, session, host, sql } = JSON.parse(line) as Record<'session' | 'host' | 'sql', string> & { id: number };
    const opened = sessions.get(session) ?? open(session, host);
    sessions.set(session, opened);
    opened.then(
      (client) =>
        client.query(sql).then(
          ({ rows }: { rows: unknown[] }) => say({ id, rows }),
          (error: unknown) => say({ id, error: why(error) }),
        ),
      (error: unknown) => {
        sessions.delete(session);
        say({ id, error: why(error) });
      },
    );
  });
}
