import { z } from 'zod';
import { Credentials } from './credentials.ts';
import {
  dataLabel,
  distinct,
  hostName,
  namespaceName,
  objectName,
  port,
  secretKey,
  sshPublicKey,
  text,
  upstreamAddress,
} from './fields.ts';
import { API_VERSION, Conditions, ObjectMeta } from './meta.ts';
import { immutable, type LocalRule, withRules } from './rules.ts';
import { SensitiveData } from './sensitive.ts';

export const PROTOCOLS = ['postgres', 'ssh', 'kubernetes', 'tcp'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** Verbs of SQL actions that rules and grants may name, lower case, one word per statement kind. */
export const STATEMENTS = [
  'select',
  'insert',
  'update',
  'delete',
  'merge',
  'truncate',
  'copy',
  'call',
  'do',
  'lock',
  'create',
  'alter',
  'drop',
  'grant',
  'revoke',
  'comment',
  'analyze',
  'vacuum',
  'refresh',
  'execute',
  '*',
] as const;
export type Statement = (typeof STATEMENTS)[number];

/** Verbs of SSH actions that rules and grants may name: what runs, what opens, and what is done to files. */
export const SSH_OPERATIONS = ['exec', 'shell', 'subsystem', 'forward', 'read', 'write', 'list', 'delete'] as const;
export type SshOperation = (typeof SSH_OPERATIONS)[number];
export const FILE_OPERATIONS = ['read', 'write', 'list', 'delete'] as const satisfies readonly SshOperation[];

/** Verbs of the Kubernetes API that rules and grants may name: those of RBAC, and the connections, whatever the method that opens them. */
export const KUBERNETES_VERBS = [
  'get',
  'list',
  'watch',
  'create',
  'update',
  'patch',
  'delete',
  'deletecollection',
  'exec',
  'attach',
  'portforward',
  '*',
] as const;
export type KubernetesVerb = (typeof KUBERNETES_VERBS)[number];
const OPERATIONS = [...new Set([...SSH_OPERATIONS, ...KUBERNETES_VERBS])];

/** How a database may ask for the credential; scram alone proves both sides and shows the password to nobody. */
export const AUTHENTICATIONS = ['scram', 'cert', 'md5', 'cleartext', 'none'] as const;
export type Authentication = (typeof AUTHENTICATIONS)[number];
/** How Chaperone signs in to an SSH server; nothing else is tried. */
export const SSH_AUTHENTICATIONS = ['publickey', 'password'] as const;
export type SshAuthentication = (typeof SSH_AUTHENTICATIONS)[number];
/** How Chaperone signs in to an API server. */
export const KUBERNETES_AUTHENTICATIONS = ['token', 'cert'] as const;
export type KubernetesAuthentication = (typeof KUBERNETES_AUTHENTICATIONS)[number];
/** As whom calls are made. */
export const KUBERNETES_IDENTITIES = ['credential', 'agent'] as const;
export type KubernetesIdentity = (typeof KUBERNETES_IDENTITIES)[number];
export const RECORDING_MODES = ['bestEffort', 'durable', 'strict'] as const;
export type RecordingMode = (typeof RECORDING_MODES)[number];

/** Bounds of lists, chosen so that the cost of every CEL rule stays far below the API server's limit. */
const MAX = {
  hosts: 16,
  sensitive: 64,
  grants: 64,
  serviceAccounts: 64,
  reveal: 32,
  searchPath: 16,
  hostKeys: 8,
} as const;

const statements = distinct(z.enum(STATEMENTS), STATEMENTS.length);
const schemaName = text(63, /^[^.*" \t\r\n]+$/, 'write the name of a schema, for example public');

export const TlsSettings = withRules(
  z.object({
    mode: z
      .enum(['verify-full', 'verify-ca', 'disable'])
      .default('verify-full')
      .describe(
        'How the upstream proves who it is. verify-full: its certificate is trusted and carries the name; verify-ca: it is trusted; disable: no TLS at all. Default: verify-full',
      ),
    caRef: z
      .object({
        name: objectName.describe('Name of a Secret in the namespace of this object. Example: orders-ca'),
        key: secretKey.default('ca.crt').describe('Key of the Secret that holds the certificates, PEM. Default: ca.crt'),
      })
      .optional()
      .describe('Certificate authorities to trust for this upstream, and no others. Default: those of the system'),
    serverName: hostName
      .optional()
      .describe('Name that the certificate must carry. Default: the host of upstream.address. Example: pg-0.corp'),
  }),
  {
    cel: "self.mode != 'disable' || !has(self.caRef) && !has(self.serverName)",
    message: 'mode disable checks no certificate; remove caRef and serverName, or choose verify-full',
    fieldPath: '.mode',
    check: (self) => self.mode !== 'disable' || (self.caRef === undefined && self.serverName === undefined),
  },
);

export const ResourceGrant = z.object({
  namespace: namespaceName.describe('Namespace whose policies may name this resource. Example: agents'),
  serviceAccounts: distinct(objectName, MAX.serviceAccounts)
    .optional()
    .describe('ServiceAccounts there whose pods may use it. Default: all. Example: [support-agent]'),
  statements: statements
    .optional()
    .describe('Statements that a policy may allow at most. Default: [select]. Example: [select, update]'),
  operations: distinct(z.enum(OPERATIONS), OPERATIONS.length)
    .optional()
    .describe(
      'What a policy may allow at most on a resource of protocol ssh or kubernetes. Default: [read, list], of files, for ssh; [get, list, watch] for kubernetes. Example: [exec, read, write, list]',
    ),
  reveal: distinct(dataLabel, MAX.reveal)
    .optional()
    .describe(
      'Labels that a policy may reveal at most; kubernetes.secret is what Secrets hold. Default: none, all stay masked. Example: [pii.email]',
    ),
  recording: z
    .object({
      minimum: z
        .enum(RECORDING_MODES)
        .describe('Least recording mode, whatever the policy says: bestEffort, durable or strict. Example: durable'),
    })
    .optional()
    .describe('How sessions of these agents are recorded at least. Default: as their policies say'),
});
export type ResourceGrant = z.infer<typeof ResourceGrant>;

const SpecFields = z.object({
  protocol: withRules(
    z.enum(PROTOCOLS),
    immutable('protocol cannot change, sessions and policies rely on it; create a new ProtectedResource'),
  ).describe(
    'What is spoken on this port. postgres, ssh, kubernetes: judged, masked and recorded; tcp: forwarded unseen. Example: postgres',
  ),
  hosts: withRules(distinct(hostName, MAX.hosts), {
    cel: "self.all(h, h != 'localhost' && !h.endsWith('.localhost'))",
    message: 'localhost is the agent itself; choose a name that only the resource has',
    check: (self) => self.every((host) => host !== 'localhost' && !host.endsWith('.localhost')),
  }).describe(
    'Names under which agents reach it; one owner per name and port in the cluster. Example: [orders.data.svc, orders-db]',
  ),
  port: port.describe('Port on which agents reach it under these names. Example: 5432'),
  upstream: z
    .object({
      address: upstreamAddress.describe('Where Chaperone dials, host:port. Example: orders.data.svc:5432'),
      tls: TlsSettings.default({ mode: 'verify-full' }).describe('TLS toward the upstream. Default: {mode: verify-full}'),
    })
    .describe('The server behind the proxy.'),
  credentials: Credentials.optional().describe(
    'What Chaperone signs in with; agents never hold it. Required for postgres, ssh and kubernetes.',
  ),
  postgres: z
    .object({
      database: z.string().min(1).max(63).describe('Database to sign in to; no other is served. Example: orders'),
      searchPath: distinct(schemaName, MAX.searchPath)
        .default(['public'])
        .describe('search_path of every session, pinned at sign-in. Default: [public]'),
      authentication: distinct(z.enum(AUTHENTICATIONS), AUTHENTICATIONS.length)
        .default(['scram'])
        .describe(
          'How the server may ask for the credential. scram: SCRAM-SHA-256, bound to TLS where the server can; cert: for the client certificate and nothing else; none: it asks for nothing. All but scram need tls.mode verify-full. Default: [scram]',
        ),
      acceptServerLogVolume: z
        .boolean()
        .default(false)
        .describe(
          'Accepts that resolving statements fills the log of a server that logs its parse trees. Default: false, such a server is not Ready',
        ),
      autoPrepare: z
        .boolean()
        .default(true)
        .describe(
          'Runs simple queries that differ only in the values that they compare with as prepared statements of the server. Default: true',
        ),
    })
    .optional()
    .describe('Settings of protocol postgres; required there.'),
  ssh: withRules(
    z.object({
      hostKeys: distinct(sshPublicKey, MAX.hostKeys)
        .optional()
        .describe(
          'Keys of which the server must show one, as known_hosts has them: ssh-keyscan HOST. Default: none, it shows a certificate. Example: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA…]',
        ),
      hostAuthorities: distinct(sshPublicKey, MAX.hostKeys)
        .optional()
        .describe(
          'Certificate authorities, of one of which the server must show a certificate for the host of upstream.address. Default: none. Example: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA…]',
        ),
      authentication: distinct(z.enum(SSH_AUTHENTICATIONS), SSH_AUTHENTICATIONS.length)
        .default(['publickey'])
        .describe(
          'How to sign in; the server gets to know nothing of what is not named. publickey: by ssh-privatekey, with its certificate where there is one; password: by password, also where the server asks for it by keyboard-interactive. Default: [publickey]',
        ),
      algorithms: z
        .enum(['default', 'legacy'])
        .default('default')
        .describe(
          'legacy: also what older servers need, diffie-hellman-group14 and group16 and MACs over the plain text. SHA-1 and CBC are never used. Default: default',
        ),
    }),
    {
      cel: 'has(self.hostKeys) != has(self.hostAuthorities)',
      message: 'say how the server proves who it is, by one of hostKeys (ssh-keyscan HOST prints them) and hostAuthorities',
      check: (self) => (self.hostKeys !== undefined) !== (self.hostAuthorities !== undefined),
    },
  )
    .optional()
    .describe('Settings of protocol ssh; required there.'),
  kubernetes: z
    .object({
      identity: z
        .enum(KUBERNETES_IDENTITIES)
        .describe(
          'As whom calls are made. credential: as the account of the credential, whose rights are those of every agent. agent: as the ServiceAccount of the agent, by impersonation, so that its own rights in that cluster count too; the account needs the verb impersonate. Example: credential',
        ),
      authentication: z
        .enum(KUBERNETES_AUTHENTICATIONS)
        .default('token')
        .describe(
          'What is shown to the API server. token: a token of a ServiceAccount; cert: a client certificate. Default: token',
        ),
    })
    .optional()
    .describe('Settings of protocol kubernetes; required there.'),
  sensitive: z
    .array(SensitiveData)
    .max(MAX.sensitive)
    .default([])
    .describe('What is sensitive here, said once for every agent; masked unless revealed. Default: nothing'),
  grantedTo: z
    .array(ResourceGrant)
    .max(MAX.grants)
    .default([])
    .describe('Whose policies may name this resource, and the ceiling they have. Default: nobody'),
  allowAudit: z
    .boolean()
    .default(false)
    .describe('Lets policies in Audit mode pass what their rules do not cover. Default: false, they enforce here'),
});
type SpecFields = z.output<typeof SpecFields>;

const isPostgres = (self: SpecFields): boolean => self.protocol === 'postgres';
const isSsh = (self: SpecFields): boolean => self.protocol === 'ssh';
const isKubernetes = (self: SpecFields): boolean => self.protocol === 'kubernetes';
const hasOperations = (self: SpecFields): boolean => isSsh(self) || isKubernetes(self);
const isTcp = (self: SpecFields): boolean => self.protocol === 'tcp';

const celList = (words: readonly string[]): string => `[${words.map((word) => `'${word}'`).join(', ')}]`;
const areAmong = (known: readonly string[], words: readonly string[] = []): boolean =>
  words.every((word) => known.includes(word));

const SPEC_RULES: readonly LocalRule<SpecFields>[] = [
  {
    cel: "self.protocol != 'postgres' || has(self.postgres)",
    message: 'protocol postgres needs it; add postgres: {database: NAME}',
    fieldPath: '.postgres',
    check: (self) => !isPostgres(self) || self.postgres !== undefined,
  },
  {
    cel: "self.protocol != 'postgres' || has(self.credentials)",
    message: 'protocol postgres needs it; add credentials: {secretRef: {name: NAME}}',
    fieldPath: '.credentials',
    check: (self) => !isPostgres(self) || self.credentials !== undefined,
  },
  {
    cel: "!has(self.postgres) || self.upstream.tls.mode == 'verify-full' || self.postgres.authentication.all(a, a == 'scram')",
    message: 'without scram only a verified certificate says who gets the credential; set upstream.tls.mode verify-full',
    fieldPath: '.postgres.authentication',
    check: (self) =>
      self.upstream.tls.mode === 'verify-full' || (self.postgres?.authentication ?? []).every((way) => way === 'scram'),
  },
  {
    cel: "!(self.protocol in ['ssh', 'kubernetes']) || !has(self.postgres)",
    message: 'these are settings of protocol postgres; remove postgres',
    fieldPath: '.postgres',
    check: (self) => !hasOperations(self) || self.postgres === undefined,
  },
  {
    cel: "self.protocol == 'kubernetes' || !has(self.kubernetes)",
    message: 'these are settings of protocol kubernetes; remove kubernetes',
    fieldPath: '.kubernetes',
    check: (self) => isKubernetes(self) || self.kubernetes === undefined,
  },
  {
    cel: "self.protocol != 'kubernetes' || has(self.kubernetes)",
    message: 'protocol kubernetes needs it; add kubernetes: {identity: credential} or {identity: agent}',
    fieldPath: '.kubernetes',
    check: (self) => !isKubernetes(self) || self.kubernetes !== undefined,
  },
  {
    cel: "self.protocol != 'kubernetes' || has(self.credentials)",
    message: 'protocol kubernetes needs it; add credentials: {secretRef: {name: NAME}}',
    fieldPath: '.credentials',
    check: (self) => !isKubernetes(self) || self.credentials !== undefined,
  },
  {
    cel: "self.protocol != 'kubernetes' || self.upstream.tls.mode == 'verify-full'",
    message: 'protocol kubernetes needs upstream.tls.mode verify-full; a token is shown to nobody else',
    fieldPath: '.upstream.tls.mode',
    check: (self) => !isKubernetes(self) || self.upstream.tls.mode === 'verify-full',
  },
  {
    cel: "self.protocol == 'ssh' || !has(self.ssh)",
    message: 'these are settings of protocol ssh; remove ssh',
    fieldPath: '.ssh',
    check: (self) => isSsh(self) || self.ssh === undefined,
  },
  {
    cel: "self.protocol != 'ssh' || has(self.ssh)",
    message: 'protocol ssh needs it; add ssh: {hostKeys: [KEY]}, with a key that ssh-keyscan HOST prints',
    fieldPath: '.ssh',
    check: (self) => !isSsh(self) || self.ssh !== undefined,
  },
  {
    cel: "self.protocol != 'ssh' || has(self.credentials)",
    message: 'protocol ssh needs it; add credentials: {secretRef: {name: NAME}}',
    fieldPath: '.credentials',
    check: (self) => !isSsh(self) || self.credentials !== undefined,
  },
  {
    cel: "self.protocol != 'ssh' || self.upstream.tls.mode == 'verify-full' && !has(self.upstream.tls.caRef) && !has(self.upstream.tls.serverName)",
    message: 'protocol ssh uses no TLS; remove tls, and say in ssh.hostKeys who answers',
    fieldPath: '.upstream.tls',
    check: ({ protocol, upstream: { tls } }) =>
      protocol !== 'ssh' || (tls.mode === 'verify-full' && tls.caRef === undefined && tls.serverName === undefined),
  },
  {
    cel: "!(self.protocol in ['ssh', 'kubernetes']) || self.sensitive.all(s, !has(s.columns))",
    message: 'only protocol postgres has columns; name fields for kubernetes, or a detector',
    fieldPath: '.sensitive',
    check: (self) => !hasOperations(self) || self.sensitive.every(({ columns }) => columns === undefined),
  },
  {
    cel: "self.protocol == 'kubernetes' || self.sensitive.all(s, !has(s.fields))",
    message: 'only protocol kubernetes has fields; name columns for postgres, or a detector',
    fieldPath: '.sensitive',
    check: (self) => isKubernetes(self) || self.sensitive.every(({ fields }) => fields === undefined),
  },
  {
    cel: "!(self.protocol in ['ssh', 'kubernetes']) || self.grantedTo.all(g, !has(g.statements))",
    message: 'only protocol postgres has statements; on protocols ssh and kubernetes grant operations',
    fieldPath: '.grantedTo',
    check: (self) => !hasOperations(self) || self.grantedTo.every((grant) => grant.statements === undefined),
  },
  {
    cel: `self.protocol != 'ssh' || self.grantedTo.all(g, !has(g.operations) || g.operations.all(o, o in ${celList(SSH_OPERATIONS)}))`,
    message: `protocol ssh has the operations ${SSH_OPERATIONS.join(', ')}; name no others`,
    fieldPath: '.grantedTo',
    check: (self) => !isSsh(self) || self.grantedTo.every((grant) => areAmong(SSH_OPERATIONS, grant.operations)),
  },
  {
    cel: `self.protocol != 'kubernetes' || self.grantedTo.all(g, !has(g.operations) || g.operations.all(o, o in ${celList(KUBERNETES_VERBS)}))`,
    message: `protocol kubernetes has the operations ${KUBERNETES_VERBS.join(', ')}; name no others`,
    fieldPath: '.grantedTo',
    check: (self) => !isKubernetes(self) || self.grantedTo.every((grant) => areAmong(KUBERNETES_VERBS, grant.operations)),
  },
  {
    cel: "self.protocol in ['ssh', 'kubernetes'] || self.grantedTo.all(g, !has(g.operations))",
    message: 'only protocols ssh and kubernetes have operations; remove them',
    fieldPath: '.grantedTo',
    check: (self) => hasOperations(self) || self.grantedTo.every((grant) => grant.operations === undefined),
  },
  {
    cel: "self.protocol != 'tcp' || !has(self.postgres)",
    message: 'protocol tcp is not looked into; remove postgres',
    fieldPath: '.postgres',
    check: (self) => !isTcp(self) || self.postgres === undefined,
  },
  {
    cel: "self.protocol != 'tcp' || !has(self.credentials)",
    message: 'protocol tcp sends no credentials; remove credentials',
    fieldPath: '.credentials',
    check: (self) => !isTcp(self) || self.credentials === undefined,
  },
  {
    cel: "self.protocol != 'tcp' || self.sensitive.size() == 0",
    message: 'protocol tcp cannot mask what it does not see; remove sensitive',
    fieldPath: '.sensitive',
    check: (self) => !isTcp(self) || self.sensitive.length === 0,
  },
  {
    cel: "self.protocol != 'tcp' || self.grantedTo.all(g, !has(g.statements) && !has(g.reveal))",
    message: 'protocol tcp has no statements and no labels; remove statements and reveal',
    fieldPath: '.grantedTo',
    check: (self) => !isTcp(self) || self.grantedTo.every((g) => g.statements === undefined && g.reveal === undefined),
  },
  {
    cel: "self.protocol != 'tcp' || self.upstream.tls.mode == 'verify-full'",
    message: 'protocol tcp needs upstream.tls.mode verify-full; the certificate is all that says who answers',
    fieldPath: '.upstream.tls.mode',
    check: (self) => !isTcp(self) || self.upstream.tls.mode === 'verify-full',
  },
];

export const ProtectedResourceSpec = withRules(SpecFields, ...SPEC_RULES).describe('What the data owner says about it.');
export type ProtectedResourceSpec = z.infer<typeof ProtectedResourceSpec>;

export const ResourceAddress = z.object({
  host: z.string().max(253).describe('Name of spec.hosts.'),
  ipv4: z.string().max(15).describe('Virtual IPv4 address that the name has in every agent pod.'),
  ipv6: z.string().max(45).optional().describe('Virtual IPv6 address, where the cluster has IPv6.'),
});
export type ResourceAddress = z.infer<typeof ResourceAddress>;

export const ProtectedResourceStatus = z
  .object({
    observedGeneration: z.int().min(0).optional().describe('Generation of spec that this status speaks of.'),
    addresses: z.array(ResourceAddress).max(MAX.hosts).optional().describe('Virtual address of each name.'),
    policies: z.int().min(0).optional().describe('Number of policies that name this resource.'),
    labels: z.string().max(2048).optional().describe('Labels of spec.sensitive, comma separated, for kubectl get -o wide.'),
    conditions: Conditions.optional(),
  })
  .describe('What the operator knows about it.');
export const ProtectedResource = z
  .object({
    apiVersion: z.literal(API_VERSION),
    kind: z.literal('ProtectedResource'),
    metadata: ObjectMeta,
    spec: ProtectedResourceSpec,
    status: ProtectedResourceStatus.optional(),
  })
  .describe(
    'A thing that agents reach only through Chaperone: its names, its upstream, its credentials and the labels of its sensitive data. Owned by the data owner, in the data owner’s namespace.',
  );
export type ProtectedResource = z.infer<typeof ProtectedResource>;
