import {
  AUTHENTICATIONS,
  DETECTORS,
  EFFECTS,
  MaskStrategy,
  ON_ROTATION,
  PROTOCOLS,
  RECORDING_MODES,
  Ref,
  ResourceAddress,
  SqlSelector,
  SSH_AUTHENTICATIONS,
  SshSelector,
  KubernetesSelector,
  KUBERNETES_AUTHENTICATIONS,
  KUBERNETES_IDENTITIES,
  CONTENTS,
  KEYS,
  OnBehalfOf,
  ASSURANCES,
} from '@chaperone/api';
import { z } from 'zod';
import { ClusterFacts } from './cluster.ts';

const approvers = { groups: z.array(z.string()), users: z.array(z.string()) };

/** Whom a rule asks, and how. Times in ms. */
export const Approval = z.object({
  ...approvers,
  /** Distinct people who must approve. */
  minimum: z.int(),
  /** Groups of each of which somebody must. */
  all: z.array(z.string()).default([]),
  timeoutMs: z.int(),
  /** As `timeoutMs`, of what is asked within an open transaction. */
  transactionTimeoutMs: z.int(),
  mode: z.enum(['hold', 'retry']).default('hold'),
  /** A decision needs a reason. */
  reason: z.boolean().default(false),
  /** People may approve that the same runs again for so long at most; absent: once only. */
  grantSeconds: z.int().optional(),
  /** How an approval must be known to be the person's, at least. Absent: kubernetes. */
  assurance: z.enum(ASSURANCES).optional(),
  /** Who may decide too, once nobody has for so long. */
  escalation: z.object({ afterMs: z.int(), ...approvers }).optional(),
});
export type Approval = z.infer<typeof Approval>;

/** One rule that applies to one agent on one resource; `rule` is what people are told, `policy` says whose it is. */
export const AccessRule = z.object({
  name: z.string(),
  policy: Ref,
  effect: z.enum(EFFECTS),
  sql: SqlSelector.optional(),
  ssh: SshSelector.optional(),
  kubernetes: KubernetesSelector.optional(),
  /** Absent: whoever calls. Only such callers otherwise; see {@link accessOnBehalfOf}. */
  onBehalfOf: OnBehalfOf.optional(),
  message: z.string().optional(),
  approval: Approval.optional(),
});
export type AccessRule = z.infer<typeof AccessRule>;

/** One policy's demand for a token; all demands of an access agree on who issues it and which claims name the caller. */
export const TokenDemand = z.object({
  issuer: z.string(),
  audiences: z.array(z.string()),
  /** Each claim has one of the values. Sorted by claim. */
  requiredClaims: z.array(z.object({ claim: z.string(), values: z.array(z.string()) })),
  groupsClaim: z.string(),
  userClaim: z.string(),
  /** PEM; absent: the system's roots. */
  ca: z.string().optional(),
});
export type TokenDemand = z.infer<typeof TokenDemand>;

/** The human or task behind an agent, as a token that was verified says. */
export const Caller = z.object({ issuer: z.string(), user: z.string(), groups: z.array(z.string()) });
export type Caller = z.infer<typeof Caller>;

/** All that one agent may do on one resource: what every policy that selects it and the owner's grant add up to. */
export const Access = z.object({
  resource: z.object({ namespace: z.string(), name: z.string(), generation: z.int(), protocol: z.enum(PROTOCOLS) }),
  policies: z.array(z.object({ namespace: z.string(), name: z.string(), generation: z.int() })),
  /** Equal digests mean equal judgements; it goes into every segment. */
  digest: z.string(),
  mode: z.enum(['Enforce', 'Audit']),
  purpose: z.string(),
  /** Tokens that a session must show, all of these demands met by one token. Absent: none is asked for. Never empty. */
  identity: z.array(TokenDemand).min(1).optional(),
  /** Whether refusals name the rule, the policy and what is allowed instead. */
  disclosure: z.enum(['full', 'code']).default('full'),
  ceiling: z.object({ statements: z.array(z.string()) }),
  rules: z.array(AccessRule),
  searchPath: z.array(z.string()),
  /** Labels whose values this agent sees as they are. Every other label is masked. */
  reveal: z.array(z.string()),
  /** Strategy per masked label; absent: redact. */
  masking: z.record(z.string(), MaskStrategy),
  /**
   * Key (base64) per label that is shown by hash, made by the control plane ({@link hashKeysOf}); absent: redact. Secret, kept in
   * memory, and no part of the digest.
   */
  hashKeys: z.record(z.string(), z.string().max(64)).optional(),
  sensitive: z.array(
    z.object({
      label: z.string(),
      columns: z.array(z.string()),
      /** Of objects of the Kubernetes API. */
      fields: z.array(z.string()).optional(),
      detector: z.enum(DETECTORS).optional(),
    }),
  ),
  inference: z.enum(['allow', 'limit', 'deny']),
  limits: z.object({
    rowsPerStatement: z.int().optional(),
    bytesPerStatement: z.int().optional(),
    statementDurationMs: z.int().optional(),
    shellDurationMs: z.int().optional(),
    rows: z.int().optional(),
    bytes: z.int().optional(),
    sessionDurationMs: z.int().optional(),
    idleMs: z.int().optional(),
    idleInTransactionMs: z.int().optional(),
    connections: z.int().optional(),
  }),
  recording: z.object({
    mode: z.enum(RECORDING_MODES),
    content: z.enum(CONTENTS),
    rows: z.int(),
    bytes: z.int(),
    /** Of each file's content; absent: none. */
    fileBytes: z.int().optional(),
    /** Of what is typed into a terminal; absent: hidden. */
    keys: z.enum(KEYS).optional(),
    retention: z.string(),
  }),
});
export type Access = z.infer<typeof Access>;

/** Who asks: sealed at admission in a cluster, given on the command line in embedded mode. */
export const Agent = z.object({
  namespace: z.string(),
  serviceAccount: z.string(),
  pod: z.string().optional(),
  podUid: z.string().optional(),
  labels: z.record(z.string(), z.string()),
  annotations: z.record(z.string(), z.string()),
});
export type Agent = z.infer<typeof Agent>;

/** One resource as a sidecar needs it: what may be done, where it is, and with what credential. */
export const GrantedResource = z.object({
  access: Access,
  hosts: z.array(z.string()),
  port: z.int(),
  upstream: z.object({
    host: z.string(),
    port: z.int(),
    tls: z.object({
      mode: z.enum(['verify-full', 'verify-ca', 'disable']),
      /** PEM; absent: the system's roots. */
      ca: z.string().optional(),
      serverName: z.string().optional(),
    }),
  }),
  credentials: z
    .object({
      username: z.string(),
      password: z.string().optional(),
      /** Client certificate with its chain, and its key: PEM. Shown to a server that asks for it within TLS. */
      client: z.object({ cert: z.string(), key: z.string() }).optional(),
      /** Private key for SSH, as its owner keeps it, and the certificate of its public key as `id-cert.pub` has it. */
      ssh: z.object({ key: z.string(), certificate: z.string().optional() }).optional(),
      /** Of a ServiceAccount, for the Kubernetes API; `username` is '' then. */
      token: z.string().optional(),
    })
    .optional(),
  /** What becomes of open sessions when the credential is replaced; absent: end. */
  onRotation: z.enum(ON_ROTATION).optional(),
  postgres: z
    .object({
      database: z.string(),
      acceptServerLogVolume: z.boolean(),
      autoPrepare: z.boolean().optional(),
      authentication: z.array(z.enum(AUTHENTICATIONS)).default(['scram']),
    })
    .optional(),
  ssh: z
    .object({
      hostKeys: z.array(z.string()),
      hostAuthorities: z.array(z.string()),
      authentication: z.array(z.enum(SSH_AUTHENTICATIONS)),
      algorithms: z.enum(['default', 'legacy']),
    })
    .optional(),
  kubernetes: z
    .object({
      identity: z.enum(KUBERNETES_IDENTITIES),
      authentication: z.enum(KUBERNETES_AUTHENTICATIONS),
      /** It is known to be the cluster that agents run in. Absent: it may be. */
      own: z.boolean().optional(),
    })
    .optional(),
  addresses: z.array(ResourceAddress),
  /** Set while no session may open: the first failing condition of the resource, said to the agent as ResourceNotReady. */
  notReady: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type GrantedResource = z.infer<typeof GrantedResource>;

/** What of a resource says where it is, to its proxy and to who would go around that. */
export const Whereabouts = GrantedResource.pick({ hosts: true, port: true, addresses: true }).extend({
  upstream: z.object({ host: z.string(), port: z.int() }),
});
export type Whereabouts = z.infer<typeof Whereabouts>;

/** What a control plane tells one sidecar; each replaces the one before it as a whole. */
export const Snapshot = z.object({
  /** Names this state; the sidecar acknowledges it. */
  revision: z.string(),
  agent: Agent,
  resources: z.array(GrantedResource),
  /** Absent in embedded mode, and where no resource is of the Kubernetes API. */
  cluster: ClusterFacts.optional(),
  /** All others, where a rule lets the agent forward, or into pods: no way there leads to them. */
  elsewhere: z.array(Whereabouts).optional(),
  /** Inbound ports on which other pods may reach the agent. */
  inboundPorts: z.array(z.int()),
  /** Certificate for the sidecar's own key, for all hosts of `resources` (PEM). */
  certificate: z.string(),
  /** Authorities of such certificates and, in a cluster, of the operator's own: whoever trusts them meets both (PEM). */
  ca: z.string(),
  /** How long this snapshot may be used without hearing from the control plane again; new sessions end first. */
  validForMs: z.int(),
});
export type Snapshot = z.infer<typeof Snapshot>;
