import { z } from 'zod';
import { namespaceName, objectName } from './fields.ts';

export const GROUP = 'chaperone.dev';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}`;

/** The part of Kubernetes object metadata that Chaperone reads. Unknown fields pass through untouched. */
export const ObjectMeta = z.looseObject({
  name: z.string(),
  namespace: z.string().optional(),
  uid: z.string().optional(),
  generation: z.int().optional(),
  resourceVersion: z.string().optional(),
  creationTimestamp: z.string().optional(),
  deletionTimestamp: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
});
export type ObjectMeta = z.infer<typeof ObjectMeta>;

export const Condition = z.object({
  type: z.string().max(64).describe('What the condition is about, for example Ready.'),
  status: z.enum(['True', 'False', 'Unknown']).describe('Whether it holds; Unknown until somebody looked.'),
  reason: z.string().max(64).describe('One CamelCase word for the cause; chaperone explain REASON says more.'),
  message: z.string().max(1024).describe('One sentence that begins with its subject and ends with what to change.'),
  lastTransitionTime: z.string().max(64).describe('When the status last changed, RFC 3339.'),
  observedGeneration: z.int().min(0).optional().describe('Generation of the object that this was said about.'),
});
export type Condition = z.infer<typeof Condition>;

/** Eight kinds of condition are in use; twice that leaves room for older ones. */
const MAX_CONDITIONS = 16;
export const Conditions = z
  .array(Condition)
  .max(MAX_CONDITIONS)
  .meta({ 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] })
  .describe('What is known about the object; Ready, the last, repeats the first condition that fails.');

/** A namespaced name, written NAMESPACE/NAME. */
export const Ref = z.object({
  namespace: namespaceName.describe('Namespace of the object. Example: data'),
  name: objectName.describe('Name of the object. Example: orders-db'),
});
export type Ref = z.infer<typeof Ref>;
