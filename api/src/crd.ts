import { z } from 'zod';
import { SessionKill } from './kill.ts';
import { EvidenceLogin } from './login.ts';
import { GROUP, VERSION } from './meta.ts';
import { AccessPolicy } from './policy.ts';
import { InjectionProfile } from './profile.ts';
import { AccessRequest, ApprovalDecision } from './request.ts';
import { ProtectedResource } from './resource.ts';

/** The part of OpenAPI v3 that Kubernetes takes as a structural schema. */
export interface StructuralSchema {
  type: 'object' | 'array' | 'string' | 'integer' | 'boolean';
  description?: string;
  properties?: Record<string, StructuralSchema>;
  additionalProperties?: StructuralSchema;
  items?: StructuralSchema;
  required?: string[];
  enum?: string[];
  default?: unknown;
  'x-kubernetes-validations'?: { rule: string; message: string; fieldPath?: string }[];
  'x-kubernetes-preserve-unknown-fields'?: true;
  [keyword: string]: unknown;
}

export interface PrinterColumn {
  name: string;
  type: 'string' | 'integer' | 'boolean' | 'date';
  jsonPath: string;
  description: string;
  /** 1: only with -o wide. */
  priority?: 1;
}

export interface CustomResourceDefinition {
  apiVersion: 'apiextensions.k8s.io/v1';
  kind: 'CustomResourceDefinition';
  metadata: { name: string };
  spec: {
    group: string;
    names: { kind: string; listKind: string; plural: string; singular: string; shortNames?: string[]; categories?: string[] };
    scope: 'Namespaced' | 'Cluster';
    versions: {
      name: string;
      served: true;
      storage: true;
      subresources?: { status: Record<string, never> };
      additionalPrinterColumns: PrinterColumn[];
      selectableFields?: { jsonPath: string }[];
      schema: { openAPIV3Schema: StructuralSchema };
    }[];
  };
}

interface KindOptions {
  schema: z.ZodObject;
  plural: string;
  shortName?: string;
  scope: 'Namespaced' | 'Cluster';
  columns: PrinterColumn[];
  /** By which a list may be narrowed, beside names; API servers before 1.31 pass over it. */
  selectable?: string;
}

const column = (name: string, jsonPath: string, description: string, type: PrinterColumn['type'] = 'string'): PrinterColumn => ({
  name,
  type,
  jsonPath,
  description,
});
const wide = (...columns: PrinterColumn[]): PrinterColumn[] => columns.map((each) => ({ ...each, priority: 1 }));
const ready = (field: string): string => `.status.conditions[?(@.type=="Ready")].${field}`;
const READY = column('Ready', ready('status'), 'Whether all is well.');
const STATUS = column('Status', ready('reason'), 'One word for the first thing that is not; chaperone explain WORD says more.');
const MESSAGE = column('Message', ready('message'), 'What it is and what to change.');
const AGE = column('Age', '.metadata.creationTimestamp', 'Time since creation.', 'date');

const KINDS: readonly KindOptions[] = [
  {
    schema: ProtectedResource,
    plural: 'protectedresources',
    shortName: 'protres',
    scope: 'Namespaced',
    columns: [
      column('Protocol', '.spec.protocol', 'What is spoken.'),
      column('Host', '.spec.hosts[0]', 'First name under which agents reach it.'),
      READY,
      STATUS,
      AGE,
      ...wide(
        column('Port', '.spec.port', 'Port under these names.', 'integer'),
        column('Upstream', '.spec.upstream.address', 'Where Chaperone dials.'),
        column('Address', '.status.addresses[0].ipv4', 'Virtual address of the first name.'),
        column('Labels', '.status.labels', 'Labels of its sensitive data.'),
        column('Policies', '.status.policies', 'Number of policies that name it.', 'integer'),
        MESSAGE,
      ),
    ],
  },
  {
    schema: AccessPolicy,
    plural: 'accesspolicies',
    shortName: 'accpol',
    scope: 'Namespaced',
    columns: [
      column('Agents', '.status.selectedPods', 'Running pods that it selects.', 'integer'),
      column('Programmed', '.status.programmed', 'How many of them run this generation.'),
      column('Mode', '.spec.enforcement', 'Enforce or Audit.'),
      READY,
      STATUS,
      AGE,
      ...wide(
        column('Purpose', '.spec.purpose', 'What the agents are for.'),
        column('Rules', '.status.rules', 'Number of rules.', 'integer'),
        column('Outdated', '.status.outdated', 'Pods whose sidecar is older than the operator.', 'integer'),
        MESSAGE,
      ),
    ],
  },
  {
    schema: AccessRequest,
    plural: 'accessrequests',
    shortName: 'accreq',
    scope: 'Namespaced',
    columns: [
      column('Agent', '.spec.agent.pod', 'Pod that asks.'),
      column('Resource', '.spec.resource.name', 'What it wants to use.'),
      column('Effect', '.spec.sentence', 'What would run.'),
      column('State', '.status.state', 'Pending, or what became of it.'),
      column('Votes', '.status.votes', 'Approvals given of those needed.'),
      column('Expires', '.spec.expiresAt', 'Nothing runs after it.'),
      AGE,
      ...wide(
        column('Rule', '.spec.rules[0].rule', 'First rule that asks.'),
        column('Purpose', '.spec.agent.purpose', 'What the agent is for.'),
        column('Digest', '.spec.digest', 'Seals what was asked for.'),
      ),
    ],
  },
  {
    schema: ApprovalDecision,
    plural: 'approvaldecisions',
    shortName: 'appdec',
    scope: 'Namespaced',
    columns: [
      column('Request', '.spec.request', 'What it answers.'),
      column('Decision', '.spec.decision', 'Approve or Deny.'),
      column('By', '.spec.by', 'Who answers.'),
      column('Counted', '.status.counted', 'Whether it counts.', 'boolean'),
      AGE,
      ...wide(column('Reason', '.spec.reason', 'Why.')),
    ],
    selectable: '.spec.request',
  },
  {
    schema: SessionKill,
    plural: 'sessionkills',
    scope: 'Namespaced',
    columns: [
      column('Session', '.spec.session', 'The session that ends.'),
      column('By', '.spec.by', 'Who ends it.'),
      column('Sent', '.status.sent', 'Sidecars that were told.', 'integer'),
      AGE,
      ...wide(column('Reason', '.spec.reason', 'Why.')),
    ],
  },
  {
    schema: InjectionProfile,
    plural: 'injectionprofiles',
    scope: 'Cluster',
    columns: [column('User', '.spec.uid', 'User that the sidecar runs as.', 'integer'), AGE],
  },
  {
    schema: EvidenceLogin,
    plural: 'evidencelogins',
    scope: 'Cluster',
    columns: [column('User', '.spec.user', 'Who signs in.'), AGE],
  },
];

/** Every CustomResourceDefinition of this version; `crds/` and the chart are written from it. */
export function customResourceDefinitions(): CustomResourceDefinition[] {
  return KINDS.map(definitionOf);
}

function definitionOf({ schema, plural, shortName, scope, columns, selectable }: KindOptions): CustomResourceDefinition {
  const root = structuralSchema(schema);
  const kind = root.properties?.['kind']?.enum?.[0];
  if (kind === undefined || root.properties === undefined) throw new Error(`${plural}: the schema names no kind`);
  const { spec, status } = root.properties;
  if (spec === undefined) throw new Error(`${plural}: the schema has no spec`);
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}` },
    spec: {
      group: GROUP,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        // The category is for what people write and look after; the other two kinds are written by programs.
        ...(shortName === undefined ? {} : { shortNames: [shortName], categories: ['chaperone'] }),
      },
      scope,
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          ...(status === undefined ? {} : { subresources: { status: {} } }),
          additionalPrinterColumns: columns,
          ...(selectable === undefined ? {} : { selectableFields: [{ jsonPath: selectable }] }),
          schema: {
            openAPIV3Schema: {
              type: 'object',
              ...(root.description === undefined ? {} : { description: root.description }),
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string', description: `Version of this kind: ${GROUP}/${VERSION}.` },
                kind: { type: 'string', description: `Name of this kind: ${kind}.` },
                // The API server owns the schema of metadata and refuses another.
                metadata: { type: 'object' },
                spec,
                ...(status === undefined ? {} : { status }),
              },
            },
          },
        },
      ],
    },
  };
}

/**
 * The schema of what people may write, as Kubernetes takes it. Throws on what a structural schema cannot say (unions, references,
 * strict objects), so that such a schema fails the build and not the installation.
 */
export function structuralSchema(schema: z.ZodType): StructuralSchema {
  const json: unknown = z.toJSONSchema(schema, { target: 'openapi-3.0', io: 'input', reused: 'inline' });
  return structural(json as Record<string, unknown>, '');
}

const FORBIDDEN = ['$ref', 'oneOf', 'anyOf', 'allOf', 'not', 'const', 'patternProperties', 'nullable'];
const TYPES = new Set(['object', 'array', 'string', 'integer', 'boolean']);

function structural(node: Record<string, unknown>, path: string): StructuralSchema {
  const bad = FORBIDDEN.find((keyword) => keyword in node);
  if (bad !== undefined) throw new Error(`${path || 'schema'}: ${bad} has no place in a structural schema`);
  if (typeof node['type'] !== 'string' || !TYPES.has(node['type'])) throw new Error(`${path || 'schema'}: no single type`);
  const { description, type, properties, additionalProperties, items, ...rest } = node;
  const entries = Object.entries((properties ?? {}) as Record<string, Record<string, unknown>>);
  return {
    type: type as StructuralSchema['type'],
    ...(typeof description === 'string' ? { description } : {}),
    ...rest,
    ...(entries.length === 0
      ? {}
      : { properties: Object.fromEntries(entries.map(([name, child]) => [name, structural(child, `${path}.${name}`)])) }),
    ...additional(additionalProperties, path),
    ...(items === undefined ? {} : { items: structural(items as Record<string, unknown>, `${path}[]`) }),
  };
}

/** A map's values; a loose object becomes one whose unknown fields are kept. */
function additional(value: unknown, path: string): Partial<StructuralSchema> {
  if (value === undefined) return {};
  if (value === false) throw new Error(`${path}: a strict object has no place in a structural schema`);
  const fields = value as Record<string, unknown>;
  if (Object.keys(fields).length === 0) return { 'x-kubernetes-preserve-unknown-fields': true };
  return { additionalProperties: structural(fields, `${path}{}`) };
}
