import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { PostgresSettings } from './postgres.ts';

/** The environment of a collector whose index is in PostgreSQL: a file with the database's URL, for the password in it, and one with its CA. */
export const PostgresEnvironment = z.object({
  CHAPERONE_INDEX_URL_FILE: z.string().min(1),
  CHAPERONE_INDEX_CA_FILE: z.string().min(1).optional(),
});

const Url = z.url({ protocol: /^postgres(ql)?$/ }).transform((text) => new URL(text));

/** Reads the files. Over a network the server is always asked for TLS and for a certificate of its name. Throws where a file cannot be read. */
export function postgresSettings(found: z.infer<typeof PostgresEnvironment>): PostgresSettings {
  const { CHAPERONE_INDEX_URL_FILE: file, CHAPERONE_INDEX_CA_FILE: ca } = found;
  // What zod says of it would have the password in it.
  const { data: url } = Url.safeParse(readFileSync(file, 'utf8').trim());
  if (url === undefined || url.search !== '')
    throw new Error('the file of CHAPERONE_INDEX_URL_FILE is not postgres://USER:PASSWORD@HOST/DATABASE');
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return {
    host,
    port: url.port === '' ? 5432 : Number(url.port),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: decodeURIComponent(url.pathname.slice(1)),
    ssl:
      ['127.0.0.1', '::1', 'localhost'].includes(host) && ca === undefined
        ? false
        : { servername: host, minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca: readFileSync(ca, 'utf8') }) },
  };
}
