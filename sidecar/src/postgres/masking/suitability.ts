import type { Catalog, CatalogQuery } from './catalog.ts';
import { SUPPORTED_MAJORS } from './majors.ts';

/** Something about the role or the server that masking cannot be built on. */
export interface Suitability {
  /** A code of the table in @chaperone/api. */
  readonly reason:
    | 'UpstreamVersionUnsupported'
    | 'UpstreamIsSuperuser'
    | 'UpstreamBypassesRLS'
    | 'UpstreamReplicates'
    | 'UpstreamHasFileRoles'
    | 'UpstreamOwnsLabelledTables'
    | 'LabelledColumnsMissing'
    | 'ServerLogVolume'
    | 'CatalogUnreadable';
  /** False: so it is. Unknown: it could not be told, or it is for the owner to accept. */
  readonly status: 'False' | 'Unknown';
  /** One sentence. */
  readonly message: string;
  /** What a superuser runs to mend it. */
  readonly fixSql?: string;
}

/** Memberships that reach files, programs, other sessions or every table's statistics. */
const DANGEROUS_ROLES = [
  'pg_read_server_files',
  'pg_write_server_files',
  'pg_execute_server_program',
  'pg_read_all_stats',
  'pg_monitor',
  'pg_signal_backend',
  'pg_create_subscription',
] as const;
const EQ = 'OPERATOR(pg_catalog.=)';

/** One row: role, three flags, memberships, owned labelled tables, then what the server logs of this role's statements. */
function suitabilitySql(labelled: readonly number[]): string {
  const names = DANGEROUS_ROLES.map((name) => `'${name}'`).join(',');
  const member = `pg_catalog.pg_has_role(CURRENT_USER, g.oid, 'MEMBER')`;
  return `SELECT pg_catalog.quote_ident(r.rolname), r.rolsuper::pg_catalog.text, r.rolbypassrls::pg_catalog.text, r.rolreplication::pg_catalog.text,
    (SELECT pg_catalog.string_agg(g.rolname::pg_catalog.text, ',') FROM pg_catalog.pg_roles g
      WHERE g.rolname ${EQ} ANY (ARRAY[${names}]::pg_catalog.name[]) AND ${member}),
    (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(n.nspname) OPERATOR(pg_catalog.||) '.' OPERATOR(pg_catalog.||) pg_catalog.quote_ident(c.relname), ', ')
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid ${EQ} c.relnamespace
      WHERE c.oid ${EQ} ANY ('{${labelled.join(',')}}'::pg_catalog.oid[]) AND pg_catalog.pg_has_role(CURRENT_USER, c.relowner, 'MEMBER')),
    pg_catalog.current_setting('log_min_messages'), pg_catalog.current_setting('log_error_verbosity'), pg_catalog.current_setting('log_destination')
    FROM pg_catalog.pg_roles r WHERE r.rolname ${EQ} CURRENT_USER`;
}

/** What is wrong with the server's major version, 0 where it names none; undefined: nothing. */
export function checkMajor(major: number): Suitability | undefined {
  if (SUPPORTED_MAJORS.includes(major)) return undefined;
  const server = major === 0 ? 'the server does not say its version' : `the server is PostgreSQL ${major}`;
  const range = `${SUPPORTED_MAJORS[0]} to ${SUPPORTED_MAJORS.at(-1)}`;
  return { reason: 'UpstreamVersionUnsupported', status: 'False', message: `${server}; ${range} can be read` };
}

/**
 * Whether the credential is one that lineage can be trusted with, and whether the server would write every printed tree to its
 * log. Asks in a session of that role. Empty: nothing is wrong.
 */
export async function checkSuitability(query: CatalogQuery, catalog: Catalog): Promise<Suitability[]> {
  const [row] = await query(suitabilitySql([...catalog.labelled.keys()]));
  const [role, superuser, bypasses, replicates, memberships, owned, ...logging] = row ?? [];
  if (role === undefined || role === null) {
    return [{ reason: 'CatalogUnreadable', status: 'Unknown', message: 'the role is not in the system catalog' }];
  }
  const found: Suitability[] = [];
  const add = (reason: Suitability['reason'], message: string, fixSql?: string): void => {
    found.push({ reason, status: 'False', message, ...(fixSql === undefined ? {} : { fixSql }) });
  };
  if (superuser !== 'false') add('UpstreamIsSuperuser', `the role ${role} is a superuser; use a role made for this agent`);
  if (bypasses !== 'false')
    add('UpstreamBypassesRLS', `the role ${role} bypasses row security`, `ALTER ROLE ${role} NOBYPASSRLS`);
  if (replicates !== 'false')
    add('UpstreamReplicates', `the role ${role} may replicate whole tables`, `ALTER ROLE ${role} NOREPLICATION`);
  // A superuser is a member of every role: one finding says it.
  if (superuser === 'false' && memberships) {
    const revoke = memberships.split(',').map((name) => `REVOKE ${name} FROM ${role}`);
    add('UpstreamHasFileRoles', `the role ${role} is a member of ${memberships.replaceAll(',', ', ')}`, revoke.join('; '));
  }
  if (superuser === 'false' && owned)
    add('UpstreamOwnsLabelledTables', `the role ${role} owns ${owned} and could change what the labels say`);
  if (catalog.labelledColumnsMissing.length > 0) {
    add('LabelledColumnsMissing', `no such column: ${catalog.labelledColumnsMissing.join(', ')}`);
  }
  const [minimum = null, verbosity = null, destinations = null] = logging;
  if (takesTrees(minimum, verbosity, destinations)) {
    const message = `the server would write the tree of every statement of ${role} to its log`;
    found.push({
      reason: 'ServerLogVolume',
      status: 'Unknown',
      message,
      fixSql: `ALTER ROLE ${role} SET log_min_messages = fatal`,
    });
  }
  return found;
}

/** Trees are LOG messages. Terse leaves their text out, in the plain log alone: csvlog and jsonlog keep it. */
function takesTrees(minimum: string | null, verbosity: string | null, destinations: string | null): boolean {
  if (minimum === 'fatal' || minimum === 'panic') return false;
  const plain = (destinations ?? 'csvlog')
    .split(',')
    .every((destination) => ['stderr', 'syslog', 'eventlog'].includes(destination.trim()));
  return verbosity !== 'terse' || !plain;
}
