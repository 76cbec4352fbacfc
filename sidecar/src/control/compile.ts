import { type ManifestSecret, nearest, type ProtectedResource, type AccessPolicy } from '@chaperone/api';
import {
  type Agent,
  compileAccess,
  elsewhereOf,
  type GrantedResource,
  keysWanted,
  type PolicyWarning,
  policyWarnings,
  protocolSettings,
  readCredential,
  selectsAgent,
  splitAddress,
  type Whereabouts,
  withHashKeys,
} from '@chaperone/policy';

/** Why a resource that a policy names cannot be used by the agent. */
export interface CompileProblem {
  readonly resource: string;
  readonly code: string;
  readonly message: string;
}

/** A part of a policy that has no effect, with the words that the cluster would show. */
export interface ManifestWarning extends PolicyWarning {
  /** NAMESPACE/NAME */
  readonly policy: string;
}

export interface CompiledManifests {
  readonly resources: readonly GrantedResource[];
  /** All others, where a rule lets the agent forward. */
  readonly elsewhere?: readonly Whereabouts[] | undefined;
  readonly inboundPorts: readonly number[];
  readonly problems: readonly CompileProblem[];
  /** What of the policies that select the agent comes to nothing. */
  readonly warnings: readonly ManifestWarning[];
  /** Whether any policy selects the agent. */
  readonly selected: boolean;
}

export interface ManifestObjects {
  readonly resources: readonly ProtectedResource[];
  readonly policies: readonly AccessPolicy[];
  readonly secrets: readonly ManifestSecret[];
}

/** Annotation of a credentials Secret that says where it may be sent. */
const BOUND_TO = 'chaperone.dev/upstream';

/**
 * What manifests give one agent. Pure. Without `hashSecret` what is masked by hash is redacted. A resource whose Secrets are missing is granted and `notReady`, with the text that the
 * cluster would show; one that the agent may not use is left out and told in `problems`.
 */
export function compileManifests(
  agent: Agent,
  { resources, policies, secrets }: ManifestObjects,
  hashSecret?: Buffer,
): CompiledManifests {
  const selecting = policies.filter((policy) => selectsAgent(policy, agent));
  const byName = new Map(resources.map((resource) => [nameOf(resource.metadata), resource]));
  const named = new Set(selecting.flatMap(({ spec }) => spec.rules.map(({ resource }) => nameOf(resource))));
  const granted: GrantedResource[] = [];
  const problems: CompileProblem[] = [];
  for (const name of [...named].toSorted()) {
    const resource = byName.get(name);
    if (resource === undefined) {
      problems.push({ resource: name, code: 'ResourceNotFound', message: missingResource(name, byName.keys()) });
      continue;
    }
    const compiled = compileAccess({ agent, policies: selecting, resource });
    if (compiled.ok) granted.push(grant(resource, withHashKeys(compiled.access, hashSecret), secrets));
    else problems.push({ resource: name, code: compiled.code, message: compiled.message });
  }
  const inbound = new Set(selecting.flatMap(({ spec }) => spec.inbound?.ports ?? []));
  return {
    resources: granted,
    elsewhere: elsewhereOf(
      granted,
      resources.map((resource) => ({ resource, addresses: [] })),
    ),
    inboundPorts: [...inbound].toSorted((a, b) => a - b),
    problems,
    warnings: selecting.flatMap((policy) =>
      policyWarnings(policy, byName).map((warning) => ({ policy: nameOf(policy.metadata), ...warning })),
    ),
    selected: selecting.length > 0,
  };
}

function missingResource(name: string, known: Iterable<string>): string {
  const near = nearest(name, known);
  return `${name} does not exist${near === undefined ? '' : `; nearest: ${near}`}`;
}

function grant(
  { spec, metadata }: ProtectedResource,
  access: GrantedResource['access'],
  secrets: readonly ManifestSecret[],
): GrantedResource {
  const find = (name: string): ManifestSecret | undefined =>
    secrets.find((secret) => secret.metadata.name === name && secret.metadata.namespace === metadata.namespace);
  const { mode, serverName } = spec.upstream.tls;
  const { ca, problem: untrusted } = authority(spec, metadata.namespace, find);
  const { credentials, problem: uncredentialed } = credential(spec, metadata.namespace, find);
  const problem = untrusted ?? uncredentialed;
  return {
    access,
    hosts: [...spec.hosts],
    port: spec.port,
    upstream: {
      ...splitAddress(spec.upstream.address),
      tls: { mode, ...(ca === undefined ? {} : { ca }), ...(serverName === undefined ? {} : { serverName }) },
    },
    ...(problem === undefined && credentials !== undefined ? { credentials } : {}),
    ...protocolSettings(spec),
    addresses: [],
    ...(problem === undefined ? {} : { notReady: problem }),
  };
}

type Problem = NonNullable<GrantedResource['notReady']>;
type Spec = ProtectedResource['spec'];
type Find = (name: string) => ManifestSecret | undefined;

function authority({ upstream: { tls } }: Spec, namespace: string | undefined, find: Find): { ca?: string; problem?: Problem } {
  const { caRef } = tls;
  if (caRef === undefined) return {};
  const secret = find(caRef.name);
  const problem = caProblem(namespace, caRef, secret);
  const ca = secret?.data[caRef.key];
  return { ...(ca === undefined ? {} : { ca }), ...(problem === undefined ? {} : { problem }) };
}

/** A Secret that says where it may be sent is sent nowhere else; one that says nothing is its owner's, who wrote both files. */
function credential(
  spec: Spec,
  namespace: string | undefined,
  find: Find,
): Pick<GrantedResource, 'credentials'> & { problem?: Problem } {
  if (spec.credentials === undefined) return {};
  const { secretRef, vault } = spec.credentials;
  if (secretRef === undefined) return { problem: notReadHere(vault?.path ?? '') };
  const secret = find(secretRef.name);
  const called = `Secret ${namespace}/${secretRef.name}`;
  const failed = (code: string, rest: string): { problem: Problem } => ({ problem: { code, message: `${called} ${rest}` } });
  if (secret === undefined)
    return failed('CredentialsNotFound', `does not exist; create it with keys ${keysWanted(spec).join(' and ')}`);
  const read = readCredential(spec, (key) => secret.data[key]);
  if ('problem' in read) return failed('CredentialsInvalid', read.problem);
  const bound = secret.metadata.annotations?.[BOUND_TO];
  return bound === undefined || bound === spec.upstream.address
    ? { credentials: read.credential }
    : failed('NotBoundToUpstream', `may be sent to ${bound} only; its annotation ${BOUND_TO} is not spec.upstream.address`);
}

function notReadHere(path: string): Problem {
  const message = `Vault path ${path} is read by the operator of a cluster only; name a Secret of the manifests by spec.credentials.secretRef here`;
  return { code: 'VaultNotRead', message };
}

function caProblem(
  namespace = '',
  { name, key }: { name: string; key: string },
  secret: ManifestSecret | undefined,
): Problem | undefined {
  const code = 'CANotFound';
  if (secret === undefined) return { code, message: `Secret ${namespace}/${name} does not exist; create it with key "${key}"` };
  const pem = secret.data[key];
  const has = Object.keys(secret.data).toSorted().join(', ');
  if (pem === undefined)
    return {
      code,
      message: `Secret ${namespace}/${name} has no key "${key}" (it has: ${has}); change spec.upstream.tls.caRef.key`,
    };
  return pem.includes('-----BEGIN CERTIFICATE-----')
    ? undefined
    : {
        code,
        message: `Secret ${namespace}/${name} key "${key}" holds no PEM certificate; put the authority's certificate there`,
      };
}

/** NAMESPACE/NAME */
export function nameOf({ namespace = '', name }: { readonly namespace?: string | undefined; readonly name: string }): string {
  return `${namespace}/${name}`;
}
