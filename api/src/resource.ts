import { z } from 'zod';
import { API_VERSION, Condition, ObjectMeta } from './meta.ts';

export const PROTOCOLS = ['postgres', 'tcp'] as const;
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

export const DETECTORS = ['credit-card', 'email', 'iban', 'ssn', 'phone'] as const;
export type Detector = (typeof DETECTORS)[number];
export const RECORDING_MODES = ['bestEffort', 'durable', 'strict'] as const;
export type RecordingMode = (typeof RECORDING_MODES)[number];

export const TlsSettings = z.object({
  mode: z.enum(['verify-full', 'verify-ca', 'disable']).default('verify-full'),
  caRef: z.object({ name: z.string(), key: z.string().default('ca.crt') }).optional(),
  serverName: z.string().optional(),
});
export const SensitiveData = z.object({
  label: z.string(),
  columns: z.array(z.string()).optional(),
  detector: z.enum(DETECTORS).optional(),
});
export const ResourceGrant = z.object({
  namespace: z.string(),
  serviceAccounts: z.array(z.string()).optional(),
  statements: z.array(z.enum(STATEMENTS)).optional(),
  reveal: z.array(z.string()).optional(),
  recording: z.object({ minimum: z.enum(RECORDING_MODES) }).optional(),
});
export type ResourceGrant = z.infer<typeof ResourceGrant>;

export const ProtectedResourceSpec = z.object({
  protocol: z.enum(PROTOCOLS),
  hosts: z.array(z.string()),
  port: z.int(),
  upstream: z.object({ address: z.string(), tls: TlsSettings.default({ mode: 'verify-full' }) }),
  credentials: z.object({ secretRef: z.object({ name: z.string() }) }).optional(),
  postgres: z
    .object({
      database: z.string(),
      searchPath: z.array(z.string()).default(['public']),
      acceptServerLogVolume: z.boolean().default(false),
    })
    .optional(),
  sensitive: z.array(SensitiveData).default([]),
  grantedTo: z.array(ResourceGrant).default([]),
  allowAudit: z.boolean().default(false),
});
export type ProtectedResourceSpec = z.infer<typeof ProtectedResourceSpec>;

export const ResourceAddress = z.object({ host: z.string(), ipv4: z.string(), ipv6: z.string().optional() });
export type ResourceAddress = z.infer<typeof ResourceAddress>;

export const ProtectedResourceStatus = z.object({
  observedGeneration: z.int().optional(),
  addresses: z.array(ResourceAddress).optional(),
  policies: z.int().optional(),
  conditions: z.array(Condition).optional(),
});
export const ProtectedResource = z.object({
  apiVersion: z.literal(API_VERSION),
  kind: z.literal('ProtectedResource'),
  metadata: ObjectMeta,
  spec: ProtectedResourceSpec,
  status: ProtectedResourceStatus.optional(),
});
export type ProtectedResource = z.infer<typeof ProtectedResource>;
