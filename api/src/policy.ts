import { z } from 'zod';
import { ASSURANCES } from './attestation.ts';
import { dataLabel, distinct, duration, objectName, port, quantity, sentence, setOf, shortName, text } from './fields.ts';
import { Identity, OnBehalfOf } from './identity.ts';
import { API_VERSION, Conditions, ObjectMeta, Ref } from './meta.ts';
import { uniqueBy, withRules } from './rules.ts';
import { RECORDING_MODES } from './resource.ts';
import { KubernetesSelector, saysWhatItLetsThrough, SqlSelector, SshSelector } from './selectors.ts';

const rowLimit = z.int().min(1).max(1_000_000_000);

export const EFFECTS = ['Allow', 'RequireApproval', 'Deny'] as const;
export type RuleEffect = (typeof EFFECTS)[number];
export const CONTENTS = ['metadata', 'commands', 'results'] as const;
export const KEYS = ['hidden', 'typed'] as const;
export type RecordingContent = (typeof CONTENTS)[number];

/** Rules of one policy; those of several add up. */
export const MAX_POLICY_RULES = 64;
/** Bounds of lists, chosen so that the cost of every CEL rule stays far below the API server's limit. */
const MAX = {
  rules: MAX_POLICY_RULES,
  matchLabels: 32,
  serviceAccounts: 64,
  labels: 64,
  approvers: 32,
  ports: 32,
} as const;

/** How a masked value is shown. Exactly one of: redact, partial, hash, null. */
export const MaskStrategy = withRules(
  z.object({
    redact: z.object({}).optional().describe('Replaced whole by a fixed text. This is the default. Example: {redact: {}}'),
    partial: withRules(
      z.object({
        first: z.int().min(1).max(64).optional().describe('Characters shown at the start. Default: none. Example: 2'),
        last: z.int().min(1).max(64).optional().describe('Characters shown at the end. Default: none. Example: 4'),
      }),
      {
        cel: 'has(self.first) || has(self.last)',
        message: 'say how many characters stay visible, for example {last: 4}',
        check: (self) => self.first !== undefined || self.last !== undefined,
      },
    )
      .optional()
      .describe('All but the first or last characters replaced. Example: {partial: {last: 4}}'),
    hash: z
      .object({})
      .optional()
      .describe(
        'Text is replaced by h: and 16 characters, a UUID by another UUID; both by a key, so that equal values of one label of one resource look equal, always. Other types as with redact. Example: {hash: {}}',
      ),
    null: z
      .object({})
      .optional()
      .describe('Replaced by the protocol’s null. The key must be quoted in YAML, where null is a word. Example: {"null": {}}'),
  }),
  {
    // null is a word of CEL too, hence its escaped name.
    cel: '[has(self.redact), has(self.partial), has(self.hash), has(self.__null__)].filter(x, x).size() == 1',
    message: 'choose exactly one of redact, partial, hash and "null" (quoted), for example {partial: {last: 4}}',
    check: (self) => [self.redact, self.partial, self.hash, self.null].filter((strategy) => strategy !== undefined).length === 1,
  },
);
export type MaskStrategy = z.infer<typeof MaskStrategy>;

const approvers = z.object({
  groups: distinct(sentence(256), MAX.approvers).optional().describe('Groups who may decide. Example: [dba]'),
  users: distinct(sentence(256), MAX.approvers).optional().describe('Users who may decide. Example: [jane@corp]'),
});
const approval = z.object({
  approvers: approvers.describe('Who may decide. While it names nobody, the rule denies (ApproversMissing).'),
  minimum: z.int().min(1).max(16).default(1).describe('How many distinct people must approve. Default: 1'),
  all: distinct(sentence(256), MAX.approvers)
    .optional()
    .describe('Groups of each of which somebody must approve, beside the minimum. Default: none. Example: [dba, security]'),
  timeout: duration.default('5m').describe('How long the action is held before it is refused. Default: 5m'),
  transactionTimeout: duration
    .optional()
    .describe(
      'As timeout, of what is asked within an open transaction, whose locks others wait for. Default: timeout, at most 60s',
    ),
  mode: z
    .enum(['hold', 'retry'])
    .default('hold')
    .describe(
      'hold: the connection waits for the answer. retry: the agent is told at once that the answer is pending, and repeats the very same action. Default: hold',
    ),
  reason: z.enum(['optional', 'required']).default('optional').describe('Whether a decision needs a reason. Default: optional'),
  maxGrant: duration
    .optional()
    .describe(
      'For how long people may approve that the same agent does the same again with other values, 12h at most. Default: one execution only. Example: 30m',
    ),
  assurance: z
    .enum(ASSURANCES)
    .optional()
    .describe(
      'How an approval must be known to be the person’s, at least. kubernetes: the API server took it from them. signed: signed on the operator’s page. passkey: by a passkey too. A denial always counts. Default: kubernetes',
    ),
  escalation: z
    .object({
      after: duration.describe('How long to wait for the first approvers. Example: 2m'),
      approvers: approvers.describe('Who may decide too from then on.'),
    })
    .optional()
    .describe('Who may decide too, once nobody has for some time. Default: nobody'),
});

export const PolicyRule = withRules(
  z.object({
    name: shortName.describe('Name that agents, records and people are told; unique in the policy. Example: read-tickets'),
    effect: z
      .enum(EFFECTS)
      .describe(
        'What happens to what the rule covers. Order never matters: any matching Deny wins, then RequireApproval, then Allow; what nothing covers is denied.',
      ),
    resource: Ref.describe('The ProtectedResource it is about. Example: {namespace: data, name: orders-db}'),
    sql: SqlSelector.optional().describe('Which SQL it covers, on a resource of protocol postgres; nowhere else.'),
    ssh: SshSelector.optional().describe(
      'What of SSH it covers, on a resource of protocol ssh; nowhere else. Default: all of it, in a Deny; required in other rules there.',
    ),
    kubernetes: KubernetesSelector.optional().describe(
      'What of the Kubernetes API it covers, on a resource of protocol kubernetes; nowhere else. Default: all of it, in a Deny; required in other rules there.',
    ),
    onBehalfOf: OnBehalfOf.optional().describe(
      'Callers that it is about, by the token that identity demands; for all others the rule is not there. Default: whoever calls. Example: {groups: [support]}',
    ),
    message: sentence(256)
      .optional()
      .describe(
        'What the agent reads when the rule denies: why, and what to do instead. Example: Schema changes go through the migration pipeline.',
      ),
    approval: approval.optional().describe('Who approves, for effect RequireApproval.'),
  }),
  {
    cel: "!has(self.approval) || self.effect == 'RequireApproval'",
    message: 'only effect RequireApproval asks anybody; remove approval or change effect',
    fieldPath: '.approval',
    check: (self) => self.approval === undefined || self.effect === 'RequireApproval',
  },
  {
    cel: '!has(self.sql) || !has(self.ssh)',
    message: 'a resource speaks one protocol; keep one of sql and ssh',
    fieldPath: '.ssh',
    check: (self) => self.sql === undefined || self.ssh === undefined,
  },
  {
    cel: '!has(self.kubernetes) || !has(self.sql) && !has(self.ssh)',
    message: 'a resource speaks one protocol; keep one of sql, ssh and kubernetes',
    fieldPath: '.kubernetes',
    check: (self) => self.kubernetes === undefined || (self.sql === undefined && self.ssh === undefined),
  },
  {
    cel: "self.effect == 'Deny' || !has(self.kubernetes) || (has(self.kubernetes.resources) ? has(self.kubernetes.verbs) : has(self.kubernetes.nonResourcePaths) && !has(self.kubernetes.verbs) && !has(self.kubernetes.namespaces) && !has(self.kubernetes.names))",
    message:
      'a rule that lets something through says which verbs on which resources, for example {verbs: [get, list], resources: [pods]}; or nonResourcePaths alone',
    fieldPath: '.kubernetes',
    check: ({ effect, kubernetes }) => effect === 'Deny' || kubernetes === undefined || saysWhatItLetsThrough(kubernetes),
  },
  {
    cel: "self.effect != 'Allow' || !has(self.ssh) || !has(self.ssh.shell)",
    message: 'nothing that is typed into a shell can be judged, so people approve each one; use effect RequireApproval',
    fieldPath: '.ssh.shell',
    check: (self) => self.effect !== 'Allow' || self.ssh?.shell === undefined,
  },
  {
    cel: "self.effect == 'Deny' || !has(self.ssh) || !has(self.ssh.files) || has(self.ssh.files.operations) && has(self.ssh.files.paths)",
    message:
      'a rule that lets something through says which operations on which paths, for example {operations: [read], paths: [/srv/app/**]}',
    fieldPath: '.ssh.files',
    check: ({ effect, ssh }) =>
      effect === 'Deny' || ssh?.files === undefined || (ssh.files.operations !== undefined && ssh.files.paths !== undefined),
  },
  {
    cel: "self.effect != 'Allow' || !has(self.kubernetes) || !has(self.kubernetes.shell)",
    message: 'nothing that is typed into a shell can be judged, so people approve each one; use effect RequireApproval',
    fieldPath: '.kubernetes.shell',
    check: (self) => self.effect !== 'Allow' || self.kubernetes?.shell === undefined,
  },
  {
    cel: "self.effect == 'Deny' || !has(self.kubernetes) || !has(self.kubernetes.files) || has(self.kubernetes.files.operations) && has(self.kubernetes.files.paths)",
    message:
      'a rule that lets something through says which operations on which paths, for example {operations: [read], paths: [/srv/app/**]}',
    fieldPath: '.kubernetes.files',
    check: ({ effect, kubernetes: { files } = {} }) =>
      effect === 'Deny' || files === undefined || (files.operations !== undefined && files.paths !== undefined),
  },
  {
    cel: "self.effect == 'Deny' || !has(self.sql) || has(self.sql.statements)",
    message: 'a rule that lets something through says which statements, for example statements: [select]',
    fieldPath: '.sql.statements',
    check: (self) => self.effect === 'Deny' || self.sql === undefined || self.sql.statements !== undefined,
  },
  {
    cel: "self.effect == 'Deny' || !has(self.sql) || has(self.sql.relations) || has(self.sql.columns) || has(self.sql.functions)",
    message: 'a rule that lets something through says on what: relations, columns or functions; all of them is relations: ["**"]',
    fieldPath: '.sql.relations',
    check: ({ effect, sql }) =>
      effect === 'Deny' || sql === undefined || [sql.relations, sql.columns, sql.functions].some((globs) => globs !== undefined),
  },
);
export type PolicyRule = z.infer<typeof PolicyRule>;

const labelKey = text(317, /^([a-z0-9.-]+[/])?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/, 'write a label key, for example app');
const PodSelector = withRules(
  z.object({
    matchLabels: z
      .record(labelKey, z.string().max(63))
      .refine((labels) => Object.keys(labels).length <= MAX.matchLabels, `must have at most ${MAX.matchLabels} labels`)
      .meta({ maxProperties: MAX.matchLabels })
      .optional()
      .describe('Labels that a pod must have, all of them. Default: none, every pod. Example: {app: support-agent}'),
    // Known only to be refused: a client that drops unknown fields would otherwise turn it into "every pod".
    matchExpressions: z
      .array(z.looseObject({}))
      .max(MAX.matchLabels)
      .optional()
      .describe('Not supported; a policy that has it is refused.'),
  }),
  {
    cel: '!has(self.matchExpressions)',
    message: 'matchExpressions is not supported; use matchLabels',
    fieldPath: '.matchExpressions',
    check: (self) => self.matchExpressions === undefined,
  },
);

const Agents = withRules(
  z.object({
    podSelector: PodSelector.optional().describe(
      'Pods of this namespace by their labels as sealed at admission; {} is all of them.',
    ),
    serviceAccounts: distinct(objectName, MAX.serviceAccounts)
      .optional()
      .describe('ServiceAccounts that a pod must run as, one of them. Default: any. Example: [support-agent]'),
  }),
  {
    cel: 'has(self.podSelector) || has(self.serviceAccounts)',
    message: 'say which agents: podSelector, serviceAccounts or both; every pod of the namespace is podSelector: {}',
    check: (self) => self.podSelector !== undefined || self.serviceAccounts !== undefined,
  },
);

const masking = withRules(
  z
    .array(
      z.object({
        label: dataLabel.describe('Label of the resource’s sensitive data. Example: pii.ssn'),
        strategy: MaskStrategy.describe(
          'How its values are shown, exactly one of redact, partial, hash, "null". Example: {partial: {last: 4}}',
        ),
      }),
    )
    .max(MAX.labels),
  uniqueBy('label', 'a label appears twice; keep one strategy for it'),
);

export const AccessPolicySpec = withRules(
  z.object({
    agents: Agents.describe('Which pods of this namespace the policy speaks of; podSelector and serviceAccounts must both hold.'),
    purpose: sentence(256)
      .optional()
      .describe('What these agents are for; goes into every record. Default: none. Example: answer support tickets'),
    purposeFrom: z
      .object({
        annotation: text(
          317,
          /^chaperone[.]dev[/][A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/,
          'only annotations beginning with chaperone.dev/ are sealed at admission; for example chaperone.dev/purpose',
        ).describe('Annotation of the pod that says it. Example: chaperone.dev/purpose'),
        required: z.boolean().default(false).describe('Refuses sessions of a pod without the annotation. Default: false'),
      })
      .optional()
      .describe('Takes the purpose from an annotation of the pod, in place of purpose.'),
    identity: Identity.optional().describe(
      'Proof of the human or task behind the agent, which every session must show, in Audit too. Default: none is asked for. Example: {oidc: {issuer: "https://login.corp", audiences: [chaperone]}}',
    ),
    enforcement: z
      .enum(['Enforce', 'Audit'])
      .default('Enforce')
      .describe(
        'Enforce: what rules deny, hold or do not cover is refused. Audit: it passes and is marked wouldDeny, on resources with allowAudit. Masking, recording and protocol checks hold in both. Default: Enforce',
      ),
    rules: withRules(
      z.array(PolicyRule).min(1).max(MAX.rules),
      uniqueBy('name', 'two rules have the same name; rename one'),
    ).describe('What the agents may do; a set, in which order never matters. Nothing that no rule covers is allowed.'),
    disclosure: z
      .enum(['full', 'code'])
      .default('full')
      .describe(
        'What an agent is told when it is refused. full: also the rule, the policy and what is allowed; code: what was refused and why not. Default: full',
      ),
    reveal: setOf(z.array(dataLabel).max(MAX.labels))
      .default([])
      .describe(
        'Labels whose values are shown as they are, as far as the owner permits. Default: none, all masked. Example: [pii.email]',
      ),
    inference: z
      .enum(['allow', 'limit', 'deny'])
      .default('limit')
      .describe(
        'Whether masked columns may be compared in conditions. limit: only for equality, with 60 distinct values per hour. Default: limit',
      ),
    masking: masking
      .default([])
      .describe('How masked labels are shown. Default: redact. Example: [{label: pii.ssn, strategy: {partial: {last: 4}}}]'),
    limits: z
      .object({
        rowsPerStatement: rowLimit.optional().describe('Rows per statement. Default: no limit. Example: 10000'),
        bytesPerStatement: quantity.optional().describe('Bytes of rows per statement. Default: no limit. Example: 10Mi'),
        statementDuration: duration
          .optional()
          .describe('Longest run of a statement, exactly; it is cancelled then. Default: no limit. Example: 30s'),
        shellDuration: duration
          .optional()
          .describe(
            'Longest interactive shell, or command with a terminal, by ssh or exec, which statementDuration is not about; and longest command that cannot be read. Default: 1h',
          ),
        rows: rowLimit.optional().describe('Rows per session. Default: no limit. Example: 100000'),
        bytes: quantity.optional().describe('Bytes per session, both ways. Default: no limit. Example: 100Mi'),
        sessionDuration: duration.optional().describe('Longest session. Default: no limit. Example: 1h'),
        idle: duration.optional().describe('Longest silence of a session. Default: no limit. Example: 10m'),
        idleInTransaction: duration
          .optional()
          .describe('Longest silence within a transaction, which holds locks. Default: as idle. Example: 1m'),
        connections: z
          .int()
          .min(1)
          .max(1000)
          .optional()
          .describe('Sessions at once of one agent pod on one resource. Default: no limit. Example: 20'),
      })
      .optional()
      .describe('Bounds of sessions on the resources that these rules name.'),
    recording: z
      .object({
        mode: z
          .enum(RECORDING_MODES)
          .optional()
          .describe(
            'What must be safe before an action runs. strict: its record at the broker; durable: on disk; bestEffort: nothing. Default: durable',
          ),
        content: z
          .enum(CONTENTS)
          .optional()
          .describe('What is kept: metadata, also commands, or also results (masked). Default: results'),
        rows: z.int().min(0).max(1_000_000).optional().describe('Rows kept per result. Default: 1000'),
        bytes: quantity.optional().describe('Bytes kept per result. Default: 1Mi'),
        keys: z
          .enum(KEYS)
          .optional()
          .describe(
            'What is kept of what is typed into a terminal by ssh or exec. hidden: when, with each letter as a dot; typed: the letters, passwords too. The screen is recorded either way. Default: hidden',
          ),
        fileBytes: quantity
          .optional()
          .describe('Bytes kept of the content of each file that goes by sftp, scp or kubectl cp. Default: 0. Example: 64Ki'),
        retention: shortName
          .optional()
          .describe(
            'How long sessions are kept before they are erased: a time (30d), or a class of the collector. Default: default',
          ),
      })
      .optional()
      .describe('How sessions on the resources that these rules name are recorded.'),
    inbound: z
      .object({
        ports: distinct(port, MAX.ports).describe('Ports of the agent that other pods may reach. Example: [8080]'),
      })
      .optional()
      .describe('Who may call the agent. Default: the kubelet’s probes only'),
  }),
  {
    cel: '!has(self.purpose) || !has(self.purposeFrom)',
    message: 'purpose is said already; keep one of purpose and purposeFrom',
    fieldPath: '.purposeFrom',
    check: (self) => self.purpose === undefined || self.purposeFrom === undefined,
  },
  {
    cel: 'has(self.identity) || self.rules.all(r, !has(r.onBehalfOf))',
    message: 'a rule has onBehalfOf and no token is demanded; say which in identity.oidc',
    fieldPath: '.identity',
    check: (self) => self.identity !== undefined || self.rules.every((rule) => rule.onBehalfOf === undefined),
  },
  {
    cel: 'self.masking.all(m, self.reveal.all(l, l != m.label))',
    message: 'a label is revealed and masked at once; keep it in one of reveal and masking',
    fieldPath: '.masking',
    check: (self) => {
      const revealed = new Set(self.reveal);
      return self.masking.every((mask) => !revealed.has(mask.label));
    },
  },
).describe('What the platform team says.');
export type AccessPolicySpec = z.infer<typeof AccessPolicySpec>;

export const AccessPolicyStatus = z
  .object({
    observedGeneration: z.int().min(0).optional().describe('Generation of spec that this status speaks of.'),
    selectedPods: z.int().min(0).optional().describe('Running pods that the policy selects.'),
    programmedPods: z.int().min(0).optional().describe('Of these, pods whose sidecar runs this generation.'),
    programmed: z.string().max(32).optional().describe('programmedPods/selectedPods, for kubectl get. Example: 2/3'),
    rules: z.int().min(0).optional().describe('Number of rules, for kubectl get -o wide.'),
    outdated: z.int().min(0).optional().describe('Of the selected pods, those whose sidecar is older than the operator.'),
    conditions: Conditions.optional(),
  })
  .describe('What the operator knows about it.');
export const AccessPolicy = z
  .object({
    apiVersion: z.literal(API_VERSION),
    kind: z.literal('AccessPolicy'),
    metadata: ObjectMeta,
    spec: AccessPolicySpec,
    status: AccessPolicyStatus.optional(),
  })
  .describe(
    'What which agents may do on which resources, what stays masked and what needs approval. Policies on one agent add up. Owned by the platform team, in the agents’ namespace.',
  );
export type AccessPolicy = z.infer<typeof AccessPolicy>;
