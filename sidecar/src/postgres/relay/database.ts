import { createHash } from 'node:crypto';
import type { GrantedResource } from '@chaperone/policy';
import type { Clock, Logger } from '../../platform.ts';
import type { DialGuard } from '../../capture/guard.ts';
import type { Observation } from '../../control/control-plane.ts';
import { addressOf, ownerText } from '../../control/owner-text.ts';
import { type Catalog, checkMajor, checkSuitability, loadCatalog, type Suitability } from '../masking/index.ts';
import { ByText } from './by-text.ts';
import { Foretold } from './foretold.ts';
import { GuessBudget } from './guesses.ts';
import { Judgements } from './judgements.ts';
import { optionsText } from './pinned.ts';
import { QueryClient } from './query-client.ts';
import { Repeats } from './repeats.ts';
import { connectUpstream } from './upstream.ts';
import { UpstreamError, type UpstreamErrorCode } from './upstream-error.ts';

/** A catalogue older than this is read again before the next statement is judged by it. */
const CATALOG_LIFE_MS = 30_000;

export interface DatabaseOptions {
  readonly resource: () => GrantedResource;
  readonly guard: DialGuard;
  readonly report: (observation: Observation) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Why no session can open. */
export class DatabaseError extends Error {
  override readonly name = 'DatabaseError';
  readonly code: 'ResourceNotReady';
  constructor(code: 'ResourceNotReady', message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * What this sidecar knows of one upstream database, shared by all sessions to it: the catalogue, whether the credential is one
 * that lineage can be trusted with, and the agent's budget of guesses. Read over a connection of its own, with the same
 * credential.
 */
export class Database {
  readonly guesses = new GuessBudget();
  readonly judgements = new Judgements();
  readonly foretold = new Foretold();
  readonly byText = new ByText();
  readonly repeats = new Repeats();
  readonly #o: DatabaseOptions;
  #catalog: Catalog | undefined;
  #loadedAt = 0;
  /** Of what it was made of. */
  #catalogDigest: string | undefined;
  /** The labels that the catalogue was closed over. */
  #labels: string | undefined;
  #sensitive: GrantedResource['access']['sensitive'] | undefined;
  #loading: Promise<Catalog> | undefined;
  #major = 0;
  #optionsDropped = false;
  /** How the last connection failed, and since when each has. */
  #failing: { readonly code: UpstreamErrorCode; readonly since: number } | undefined;

  constructor(options: DatabaseOptions) {
    this.#o = options;
  }

  /** The catalogue, for a session with a server of `major`: that of another server's says nothing about it. Throws DatabaseError. */
  catalogOf(major: number): Catalog {
    if (this.#catalog === undefined) throw new DatabaseError('ResourceNotReady', 'the catalogue was not read');
    if (this.#major !== major)
      throw new DatabaseError('ResourceNotReady', 'servers of several major versions answer as this database');
    return this.#catalog;
  }

  /** Whether statements that are repeated may run as prepared ones. */
  get autoPrepare(): boolean {
    return this.#o.resource().postgres?.autoPrepare !== false;
  }

  get stale(): boolean {
    if (this.#o.clock.monotonic() - this.#loadedAt > CATALOG_LIFE_MS) return true;
    const resource = this.#o.resource();
    return resource.access.sensitive !== this.#sensitive && labelsOf(resource) !== this.#labels;
  }

  /** What the self-test of a session found: whether the settings that judging needs reached the server. */
  tested(passed: boolean): void {
    const changed = this.#optionsDropped === passed;
    this.#optionsDropped = !passed;
    if (!changed) return;
    const [status, reason, message] = passed ? SUITABLE : DROPS_OPTIONS;
    this.#o.report(observation(this.#o.resource(), 'UpstreamSuitable', status, reason, message));
  }

  /** Reads the catalogue if that was not done lately. Throws DatabaseError when no session may open. */
  async ready(): Promise<void> {
    // A reading under way may be of labels that have changed since; the second one is not.
    for (let reading = 0; reading < 2 && (this.#catalog === undefined || this.stale); reading++) await this.refresh();
    if (this.stale) throw new DatabaseError('ResourceNotReady', 'the labels of the resource are changing');
  }

  /** As {@link ready}, for a session with a server of `major`. */
  async readyFor(major: number): Promise<void> {
    // It may have been upgraded since the catalogue was read.
    if (major !== this.#major) await this.refresh();
    this.catalogOf(major);
  }

  /** Reads the catalogue again; several callers share one reading. */
  refresh(): Promise<Catalog> {
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined;
    });
    return this.#loading;
  }

  async #load(): Promise<Catalog> {
    const resource = this.#o.resource();
    try {
      await using client = await this.#connect(resource);
      const unsupported = checkMajor(client.major);
      if (unsupported !== undefined) this.#judgeSuitability(resource, [unsupported]);
      const query = (sql: string): Promise<(string | null)[][]> => client.query(sql);
      const seen = createHash('sha256').update(`${client.major}${labelsOf(resource)}`);
      const read = await loadCatalog(async (sql) => {
        const rows = await query(sql);
        seen.update(JSON.stringify(rows));
        return rows;
      }, resource.access.sensitive);
      const digest = seen.digest('base64');
      // What was judged by an equal one still holds.
      const catalog = this.#catalog !== undefined && digest === this.#catalogDigest ? this.#catalog : read;
      const found = await checkSuitability(query, catalog);
      this.#judgeSuitability(resource, found);
      this.#major = client.major;
      this.#catalog = catalog;
      this.#catalogDigest = digest;
      this.#loadedAt = this.#o.clock.monotonic();
      this.#labels = labelsOf(resource);
      this.#sensitive = resource.access.sensitive;
      return catalog;
    } catch (error) {
      this.#catalog = undefined;
      throw this.#explain(resource, error);
    }
  }

  async #connect(resource: GrantedResource): Promise<QueryClient> {
    const { upstream, credentials, postgres } = resource;
    if (credentials === undefined || postgres === undefined)
      throw new DatabaseError('ResourceNotReady', 'the resource has no credential');
    const connection = await connectUpstream({
      host: upstream.host,
      port: upstream.port,
      tls: upstream.tls,
      ...credentials,
      authentication: postgres.authentication,
      parameters: {
        database: postgres.database,
        client_encoding: 'UTF8',
        application_name: 'chaperone',
        options: optionsText({ search_path: 'pg_catalog', standard_conforming_strings: 'on' }),
      },
      guard: this.#o.guard,
    });
    this.#tellWorks(resource);
    return new QueryClient(connection);
  }

  /** What became of a session's own connection. What is as it was before is told already. */
  dialled(resource: GrantedResource, error?: unknown): void {
    if (error instanceof UpstreamError) this.#tellOwner(resource, error);
    else if (error === undefined && this.#failing !== undefined) this.#tellWorks(resource);
  }

  #tellWorks(resource: GrantedResource): void {
    this.#failing = undefined;
    const at = addressOf(resource.upstream);
    this.#o.report(observation(resource, 'Reachable', 'True', 'UpstreamReachable', `${at} answers`));
    const accepts = `${at} accepts the credential`;
    this.#o.report(observation(resource, 'CredentialsAvailable', 'True', 'CredentialsAccepted', accepts));
  }

  #judgeSuitability(resource: GrantedResource, found: readonly Suitability[]): void {
    const accepted = found.filter(
      (item) => !(item.reason === 'ServerLogVolume' && resource.postgres?.acceptServerLogVolume === true),
    );
    const worst = accepted.find((item) => item.status === 'False') ?? accepted.find((item) => item.status === 'Unknown');
    if (worst === undefined) {
      if (!this.#optionsDropped) this.#o.report(observation(resource, 'UpstreamSuitable', ...SUITABLE));
      return;
    }
    const run = worst.fixSql === undefined ? '' : `; run: ${worst.fixSql}`;
    const message = `${addressOf(resource.upstream)}: ${worst.message}${run}${OWNERS_CHANGE[worst.reason] ?? ''}`;
    this.#o.report(observation(resource, 'UpstreamSuitable', worst.status, worst.reason, message));
    // Names and the way to mend it are for the owner.
    throw new DatabaseError('ResourceNotReady', `its owner has to change something first (${worst.reason})`);
  }

  #explain(resource: GrantedResource, error: unknown): DatabaseError {
    if (error instanceof DatabaseError) return error;
    if (error instanceof UpstreamError) {
      this.#tellOwner(resource, error);
      return new DatabaseError('ResourceNotReady', `${error.message} (${error.code})`, { cause: error });
    }
    this.#o.log.error('the catalogue could not be read', { error: error instanceof Error ? error.name : 'Error' });
    const unreadable = `${addressOf(resource.upstream)}: ${CATALOG_UNREADABLE}`;
    this.#o.report(observation(resource, 'UpstreamSuitable', 'Unknown', 'CatalogUnreadable', unreadable));
    return new DatabaseError('ResourceNotReady', 'the catalogue could not be read (CatalogUnreadable)', { cause: error });
  }

  /** Agents get the bare sentence; who can mend it gets names, numbers and the change to make. */
  #tellOwner(resource: GrantedResource, error: UpstreamError): void {
    const { code, sqlstate, certificateNames, address, verifier, issuer } = error;
    if (code === 'UpstreamAborted') return;
    if (code === 'PoolerDropsOptions') return this.tested(false);
    if (this.#failing?.code !== code) this.#failing = { code, since: this.#o.clock.now() };
    const { host, port, tls } = resource.upstream;
    const text = ownerText(code, {
      host,
      port,
      since: this.#failing.since,
      detail: error.message,
      sqlstate,
      certificateNames,
      verifier,
      issuer,
      address: address === host ? undefined : address,
      username: resource.credentials?.username,
      database: resource.postgres?.database,
      ownCa: tls.ca !== undefined,
      serverName: tls.serverName,
    });
    const type = code === 'CredentialsRejected' ? 'CredentialsAvailable' : 'Reachable';
    this.#o.report(observation(resource, type, 'False', code, text));
  }
}

/** What the owner can change in the resource or choose otherwise, where no SQL mends it or it is not the only way. */
const OWNERS_CHANGE: Partial<Record<Suitability['reason'], string>> = {
  ServerLogVolume: ', or set spec.postgres.acceptServerLogVolume: true',
  LabelledColumnsMissing: '; mend spec.sensitive',
  UpstreamVersionUnsupported: '; upgrade the server, or Chaperone if the server is newer',
  UpstreamOwnsLabelledTables: '; use a role that owns none of them',
};
const CATALOG_UNREADABLE =
  'the catalogue of the database could not be read; see its log, and give the user CONNECT and a readable pg_catalog';
const SUITABLE = ['True', 'UpstreamSuitable', 'the credential is one that lineage can be trusted with'] as const;
const DROPS_OPTIONS = [
  'False',
  'PoolerDropsOptions',
  'the server or a pooler before it drops the settings that judging needs',
] as const;

function observation(
  resource: GrantedResource,
  type: Observation['type'],
  status: Observation['status'],
  reason: Observation['reason'],
  message: string,
): Observation {
  const { namespace, name } = resource.access.resource;
  return { resource: { namespace, name }, type, status, reason, message };
}

/** What the owner says is sensitive: equal texts mean equal labels. */
export function labelsOf(resource: GrantedResource): string {
  return JSON.stringify(resource.access.sensitive);
}
