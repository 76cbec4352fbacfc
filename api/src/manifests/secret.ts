import { z } from 'zod';
import type { ObjectMeta } from '../meta.ts';
import type { FieldProblem } from './validate.ts';

/** A Secret as manifests hold it; `data` and `stringData` joined, decoded, as text. */
export interface ManifestSecret {
  readonly kind: 'Secret';
  readonly metadata: ObjectMeta;
  readonly data: Readonly<Record<string, string>>;
}

/** Kubernetes' own bound on the size of a Secret. */
const MAX_VALUE = 1024 * 1024;
const Values = z.record(z.string().max(253), z.string().max(MAX_VALUE)).optional();

export const secretFields = {
  apiVersion: z.literal('v1'),
  kind: z.literal('Secret'),
  type: z.string().optional(),
  immutable: z.boolean().optional(),
  data: Values,
  stringData: Values,
};

/** Decodes `data` (base64) and lays `stringData` over it, as the API server does. Values never appear in problems. */
export function decodeSecret(secret: {
  metadata: ObjectMeta;
  data?: Record<string, string> | undefined;
  stringData?: Record<string, string> | undefined;
}): ManifestSecret | { problems: FieldProblem[] } {
  const decoded = new Map<string, string>();
  const problems: FieldProblem[] = [];
  for (const [key, value] of Object.entries(secret.data ?? {})) {
    const text = decodeBase64(value);
    if (text === undefined) problems.push(undecodable(key));
    else decoded.set(key, text);
  }
  if (problems.length > 0) return { problems };
  for (const [key, value] of Object.entries(secret.stringData ?? {})) decoded.set(key, value);
  return { kind: 'Secret', metadata: secret.metadata, data: Object.fromEntries(decoded) };
}

function undecodable(key: string): FieldProblem {
  const message = 'data has a value that is not base64 of UTF-8 text; write plain text under stringData';
  return { path: ['data', key], part: 'value', message };
}

function decodeBase64(value: string): string | undefined {
  const compact = value.replace(/[\r\n]/g, '');
  if (compact.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(compact)) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(compact, 'base64'));
  } catch {
    return undefined;
  }
}
