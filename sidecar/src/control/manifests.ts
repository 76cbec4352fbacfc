import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  type AccessPolicy,
  describeProblem,
  type ManifestFile,
  nearest,
  type ProtectedResource,
  readManifests,
} from '@chaperone/api';
import { type Agent, canonicalJson, type Snapshot } from '@chaperone/policy';
import type { Clock, Logger } from '../platform.ts';
import { LEAF_LIFE_MS, openAuthority } from './authority.ts';
import { type CompiledManifests, type CompileProblem, compileManifests, type ManifestObjects } from './compile.ts';
import type { ControlPlane } from './control-plane.ts';
import { EmbeddedDesk } from './embedded-desk.ts';
import { ControlPlaneError } from './errors.ts';
import { Generations } from './generations.ts';
import { openHashSecret } from './hash-secret.ts';
import { Known, type KnownObjects } from './known.ts';
import { newLeafKey } from './leaf-key.ts';

/** How often the directory is looked at; a right that is withdrawn there ends its sessions within 2 s. */
const POLL_MS = 500;
const MAX_FILES = 1_000;
const MAX_FILE_BYTES = 1024 * 1024;
/** Files do not go stale; the number is what the type wants. */
const VALID_FOR_MS = 15 * 60_000;

export interface ManifestControlOptions {
  readonly directory: string;
  readonly agent: Agent;
  /** Where the local certificate authority and the secret of hash masks live. */
  readonly data: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface ManifestControl extends ControlPlane {
  readonly approvals: EmbeddedDesk;
  /** Ends one session; its agent reads why, and its record keeps who did it. */
  kill(session: string, reason: string, by: string): void;
  /** What the files in force hold, with what is known of each as conditions. */
  policies(): readonly AccessPolicy[];
  resources(): readonly ProtectedResource[];
  /** Resources that policies name and the agent cannot use, by the files in force. */
  readonly problems: readonly CompileProblem[];
  /** Mistakes in the files as they are now, if they are not the ones in force. */
  readonly invalid: string | undefined;
}

/**
 * The control plane of embedded mode: policy, resources and Secrets from YAML files of one directory. Changes are taken up
 * within a second. While the files hold mistakes the last version without any stays in force, and the log says so; files that
 * are right and grant less withdraw the right.
 * @throws ControlPlaneError ManifestInvalid, AgentNotSelected, NotGranted, PolicyInvalid, ResourceNotFound, AuthorityUnreadable, HashKeyUnreadable, at start only.
 */
export async function openManifestControl(options: ManifestControlOptions): Promise<ManifestControl> {
  const authority = await openAuthority(options.data, options.clock);
  const hashSecret = await openHashSecret(options.data);
  const key = newLeafKey();
  const certify = (hosts: readonly string[]): Promise<string> =>
    authority.issue(key.publicKey, [...new Set([...hosts, 'localhost', '127.0.0.1', '::1'])]);
  const first = await readVersion(options.directory);
  const generations = new Generations();
  const compiled = compileVersion({ ...options, hashSecret, generations }, first.files);
  demandUse(options, compiled);
  const control = new Manifests(options, { tlsKey: key.pem, ca: authority.ca, certify, hashSecret, generations });
  await control.adopt(compiled, first.fingerprint);
  control.start();
  return control;
}

/**
 * What the files of a directory grant an agent, without serving anything: for tests of policies.
 * @throws ControlPlaneError as openManifestControl does
 */
export async function compileDirectory(directory: string, agent: Agent): Promise<CompiledManifests> {
  const version = await readVersion(directory);
  const result = compileVersion({ agent }, version.files);
  demandUse({ agent, directory }, result);
  return result.compiled;
}

interface Identity {
  readonly tlsKey: string;
  readonly ca: string;
  readonly certify: (hosts: readonly string[]) => Promise<string>;
  readonly hashSecret: Buffer;
  readonly generations: Generations;
}

class Manifests implements ManifestControl {
  readonly approvals: EmbeddedDesk;
  readonly #o: ManifestControlOptions;
  readonly #identity: Identity;
  readonly #known: Known;
  readonly #listeners: ((snapshot: Snapshot) => void)[] = [];
  readonly #onRevoke: Parameters<ControlPlane['onRevoke']>[0][] = [];
  #snapshot: Snapshot | undefined;
  #fingerprint = '';
  #certifiedAt = 0;
  #certifiedHosts = '';
  #problems: readonly CompileProblem[] = [];
  #invalid: string | undefined;
  #warned = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #look: Promise<void> = Promise.resolve();

  constructor(options: ManifestControlOptions, identity: Identity) {
    this.#o = options;
    this.#identity = identity;
    this.#known = new Known(options.agent, () => options.clock.now());
    this.approvals = new EmbeddedDesk({ snapshot: () => this.#snapshot, clock: options.clock });
  }

  get tlsKey(): string {
    return this.#identity.tlsKey;
  }
  get problems(): readonly CompileProblem[] {
    return this.#problems;
  }
  get invalid(): string | undefined {
    return this.#invalid;
  }
  policies(): readonly AccessPolicy[] {
    return this.#known.policies();
  }
  resources(): readonly ProtectedResource[] {
    return this.#known.resources();
  }
  current(): Snapshot | undefined {
    return this.#snapshot;
  }
  onSnapshot(listener: (snapshot: Snapshot) => void): void {
    this.#listeners.push(listener);
    if (this.#snapshot !== undefined) listener(this.#snapshot);
  }
  /** Files revoke by granting less, which a snapshot says; people by {@link ManifestControl.kill}. */
  onRevoke(listener: Parameters<ControlPlane['onRevoke']>[0]): void {
    this.#onRevoke.push(listener);
  }
  kill(session: string, reason: string, by: string): void {
    for (const listener of this.#onRevoke) listener({ code: 'SessionEnded', reason, session, by });
  }
  report(observation: Parameters<ControlPlane['report']>[0]): void {
    const { resource, type, status, reason, message } = observation;
    this.#known.see(observation);
    const name = `${resource.namespace}/${resource.name}`;
    if (status === 'False') this.#o.logger.warn('observation', { resource: name, type, status, code: reason, message });
  }
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.approvals.stop();
    await this.#look;
  }

  start(): void {
    let looking = false;
    this.#timer = setInterval(() => {
      if (looking) return;
      looking = true;
      this.#look = this.#refresh().finally(() => {
        looking = false;
      });
    }, POLL_MS).unref();
  }

  /** Puts a version in force, unless it says the same as the one before. */
  async adopt({ compiled, ...objects }: CompiledVersion, fingerprint: string): Promise<void> {
    this.#fingerprint = fingerprint;
    const isMended = this.#invalid !== undefined;
    this.#invalid = undefined;
    this.#problems = compiled.problems;
    this.#warn(compiled);
    const hosts = [...new Set(compiled.resources.flatMap((resource) => resource.hosts))].toSorted();
    const content = {
      agent: this.#o.agent,
      resources: [...compiled.resources],
      ...(compiled.elsewhere && { elsewhere: [...compiled.elsewhere] }),
      inboundPorts: [...compiled.inboundPorts],
    };
    const now = this.#o.clock.now();
    const known = hosts.join(' ') === this.#certifiedHosts && now - this.#certifiedAt < LEAF_LIFE_MS / 2;
    const before = this.#snapshot;
    const certificate = known && before !== undefined ? before.certificate : await this.#identity.certify(hosts);
    if (certificate !== before?.certificate) [this.#certifiedAt, this.#certifiedHosts] = [now, hosts.join(' ')];
    this.#known.adopt(objects, compiled);
    const revision = createHash('sha256').update(canonicalJson(content)).digest('hex').slice(0, 16);
    if (isMended)
      this.#o.logger.info('manifests mended', { message: 'the manifests have no mistakes any more, and are in force' });
    else if (before !== undefined && revision !== before.revision)
      this.#o.logger.info('manifests changed', { message: 'the manifests changed, and are in force' });
    if (revision === before?.revision && certificate === before.certificate) return;
    this.#snapshot = { revision, ...content, certificate, ca: this.#identity.ca, validForMs: VALID_FOR_MS };
    // Before the sessions that another policy ends: their requests are void, and not withdrawn.
    this.approvals.review();
    for (const listener of this.#listeners) listener(this.#snapshot);
  }

  /** Says what is new: files change for other reasons too. */
  #warn({ warnings, problems }: CompiledManifests): void {
    const said = this.#warned;
    this.#warned = new Set();
    const warn = (event: string, fields: Record<'code' | 'message', string> & Record<string, string>): void => {
      if (!said.has(fields.message) && !this.#warned.has(fields.message)) this.#o.logger.warn(event, fields);
      this.#warned.add(fields.message);
    };
    for (const { policy, code, message } of warnings) warn('hardly meant', { policy, code, message: `${policy}: ${message}` });
    for (const { resource, code, message } of problems) warn('resource left out', { resource, code, message });
  }

  async #refresh(): Promise<void> {
    try {
      const version = await readVersion(this.#o.directory);
      const aged = this.#o.clock.now() - this.#certifiedAt > LEAF_LIFE_MS / 2;
      if (version.fingerprint === this.#fingerprint && !aged) return;
      this.#fingerprint = version.fingerprint;
      const { hashSecret, generations } = this.#identity;
      await this.adopt(compileVersion({ ...this.#o, hashSecret, generations }, version.files), version.fingerprint);
    } catch (error) {
      const message = error instanceof ControlPlaneError ? error.message : 'the directory cannot be read';
      if (message === this.#invalid) return;
      this.#invalid = message;
      this.#o.logger.warn('the manifests have mistakes; the last version without any stays in force', {
        code: 'ManifestInvalid',
        message,
      });
    }
  }
}

interface Version {
  readonly files: readonly ManifestFile[];
  readonly fingerprint: string;
}

/**
 * The objects of a directory of YAML files, or of one such file, for what compares policies.
 * @throws ControlPlaneError ManifestInvalid with a line per mistake.
 */
export async function readObjects(path: string): Promise<Pick<ManifestObjects, 'resources' | 'policies'>> {
  const isFile = await stat(path).then(
    (info) => info.isFile(),
    () => false,
  );
  const files = isFile ? [await readManifest(path)] : (await readVersion(path)).files;
  const { problems, resources, policies } = readManifests(files);
  if (problems.length > 0) throw new ControlPlaneError('ManifestInvalid', problems.map(describeProblem).join('\n'));
  return { resources, policies };
}

/** All YAML files of a directory (no subdirectories), as one version. @throws ControlPlaneError ManifestInvalid */
async function readVersion(directory: string): Promise<Version> {
  const names = await readdir(directory).catch((error: unknown) => {
    throw new ControlPlaneError('ManifestInvalid', `${directory} cannot be read; --manifests names a directory of YAML files`, {
      cause: error,
    });
  });
  const yaml = names.filter((name) => /\.ya?ml$/i.test(name) && !name.startsWith('.')).toSorted();
  if (yaml.length === 0) throw new ControlPlaneError('ManifestInvalid', `${directory} holds no YAML file (*.yaml, *.yml)`);
  if (yaml.length > MAX_FILES)
    throw new ControlPlaneError('ManifestInvalid', `${directory} holds more than ${MAX_FILES} YAML files`);
  const files: ManifestFile[] = [];
  const hash = createHash('sha256');
  for (const name of yaml) {
    const { text } = await readManifest(join(directory, name));
    files.push({ path: join(basename(directory), name), text });
    hash.update(`${name.length} ${name} ${Buffer.byteLength(text)} `).update(text);
  }
  return { files, fingerprint: hash.digest('hex') };
}

/** @throws ControlPlaneError ManifestInvalid */
async function readManifest(path: string): Promise<ManifestFile> {
  try {
    const info = await stat(path);
    if (!info.isFile()) throw new ControlPlaneError('ManifestInvalid', `${path} is not a file`);
    if (info.size > MAX_FILE_BYTES) throw new ControlPlaneError('ManifestInvalid', `${path} is larger than 1 MiB; split it`);
    const text = await readFile(path, 'utf8');
    return { path: basename(path), text };
  } catch (error) {
    if (error instanceof ControlPlaneError) throw error;
    throw new ControlPlaneError('ManifestInvalid', `${path} cannot be read`, { cause: error });
  }
}

/** What the files hold, and what the agent gets of it. */
type CompiledVersion = KnownObjects & { readonly compiled: CompiledManifests };

/** @throws ControlPlaneError ManifestInvalid with a line per mistake. */
function compileVersion(
  { agent, hashSecret, generations = new Generations() }: { agent: Agent; hashSecret?: Buffer; generations?: Generations },
  files: readonly ManifestFile[],
): CompiledVersion {
  const { problems, ...objects } = readManifests(files);
  if (problems.length > 0) throw new ControlPlaneError('ManifestInvalid', problems.map(describeProblem).join('\n'));
  const policies = generations.number(objects.policies);
  const { resources } = objects;
  return { compiled: compileManifests(agent, { ...objects, policies }, hashSecret), policies, resources };
}

/** At start an agent that gets nothing is a mistake in the command line or the files; later it is a right withdrawn. */
function demandUse(
  { agent, directory }: Pick<ManifestControlOptions, 'agent' | 'directory'>,
  { compiled, policies }: CompiledVersion,
): void {
  const who = `${agent.namespace}/${agent.serviceAccount}`;
  if (!compiled.selected) {
    const known = policies.flatMap(({ metadata, spec }) =>
      (spec.agents.serviceAccounts ?? []).map((name) => `${metadata.namespace}/${name}`),
    );
    const near = known.includes(who) ? undefined : nearest(who, known);
    const hint =
      near === undefined ? (known.includes(who) ? '; its policies also want labels: --labels' : '') : `; nearest: ${near}`;
    throw new ControlPlaneError('AgentNotSelected', `no policy in ${basename(directory)}/ selects ${who}${hint}`);
  }
  if (compiled.resources.length > 0) return;
  const lines = compiled.problems.map((each) => `${each.message} (${each.code})`);
  throw new ControlPlaneError(
    causeOf(compiled.problems),
    lines.length === 0 ? `no policy of ${who} names a resource` : lines.join('\n'),
  );
}

/** Why and what to do are said of one cause: what its author mends alone, before what needs the owner. */
function causeOf(problems: readonly CompileProblem[]): 'PolicyInvalid' | 'NotGranted' | 'ResourceNotFound' {
  const codes = new Set(problems.map(({ code }) => code));
  if (codes.has('PolicyInvalid')) return 'PolicyInvalid';
  return codes.size === 1 && codes.has('ResourceNotFound') ? 'ResourceNotFound' : 'NotGranted';
}
