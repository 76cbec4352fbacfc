import { z } from 'zod';
import { API_VERSION, Condition, ObjectMeta, Ref } from './meta.ts';
import { RECORDING_MODES, STATEMENTS } from './resource.ts';

export const EFFECTS = ['Allow', 'RequireApproval', 'Deny'] as const;
export type RuleEffect = (typeof EFFECTS)[number];
export const CONTENTS = ['metadata', 'commands', 'results'] as const;
export type RecordingContent = (typeof CONTENTS)[number];

/** How a masked value is shown. Exactly one of: redact, partial, hash, null. */
export const MaskStrategy = z.object({
  redact: z.object({}).optional(),
  partial: z.object({ first: z.int().optional(), last: z.int().optional() }).optional(),
  hash: z.object({}).optional(),
  null: z.object({}).optional(),
});
export type MaskStrategy = z.infer<typeof MaskStrategy>;

export const SqlSelector = z.object({
  statements: z.array(z.enum(STATEMENTS)).optional(),
  relations: z.array(z.string()).optional(),
  columns: z.array(z.string()).optional(),
  functions: z.array(z.string()).optional(),
});
export type SqlSelector = z.infer<typeof SqlSelector>;

export const PolicyRule = z.object({
  name: z.string(),
  effect: z.enum(EFFECTS),
  resource: Ref,
  sql: SqlSelector.optional(),
  message: z.string().optional(),
  approval: z
    .object({
      approvers: z.object({ groups: z.array(z.string()).optional(), users: z.array(z.string()).optional() }),
      minimum: z.int().default(1),
      timeout: z.string().default('5m'),
    })
    .optional(),
});
export type PolicyRule = z.infer<typeof PolicyRule>;

export const AccessPolicySpec = z.object({
  agents: z.object({
    podSelector: z.object({ matchLabels: z.record(z.string(), z.string()).optional() }).optional(),
    serviceAccounts: z.array(z.string()).optional(),
  }),
  /** Either a sentence, or where the pod says it. */
  purpose: z.string().optional(),
  purposeFrom: z.object({ annotation: z.string(), required: z.boolean().default(false) }).optional(),
  enforcement: z.enum(['Enforce', 'Audit']).default('Enforce'),
  rules: z.array(PolicyRule),
  reveal: z.array(z.string()).default([]),
  inference: z.enum(['allow', 'limit', 'deny']).default('limit'),
  masking: z.array(z.object({ label: z.string(), strategy: MaskStrategy })).default([]),
  limits: z
    .object({
      rowsPerStatement: z.int().optional(),
      bytes: z.string().optional(),
      sessionDuration: z.string().optional(),
      idle: z.string().optional(),
    })
    .optional(),
  recording: z
    .object({
      mode: z.enum(RECORDING_MODES).optional(),
      content: z.enum(CONTENTS).optional(),
      rows: z.int().optional(),
      bytes: z.string().optional(),
      retention: z.string().optional(),
    })
    .optional(),
  inbound: z.object({ ports: z.array(z.int()) }).optional(),
});
export type AccessPolicySpec = z.infer<typeof AccessPolicySpec>;

export const AccessPolicyStatus = z.object({
  observedGeneration: z.int().optional(),
  selectedPods: z.int().optional(),
  programmedPods: z.int().optional(),
  programmed: z.string().optional(),
  conditions: z.array(Condition).optional(),
});
export const AccessPolicy = z.object({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('AccessPolicy'),
  metadata: ObjectMeta,
  spec: AccessPolicySpec,
  status: AccessPolicyStatus.optional(),
});
export type AccessPolicy = z.infer<typeof AccessPolicy>;
