import { z } from 'zod';
import { columnName, dataLabel, distinct, FIELD_SYNTAX, kubernetesField } from './fields.ts';
import { withRules } from './rules.ts';

export const DETECTORS = [
  'credit-card',
  'email',
  'iban',
  'ssn',
  'phone',
  'aws-access-key',
  'github-token',
  'google-api-key',
  'slack-token',
  'api-key',
  'jwt',
  'private-key',
] as const;
export type Detector = (typeof DETECTORS)[number];

/**
 * The label, in every cluster, of what Secrets hold, of tokens and certificates that are issued, and of what is packed. Owners may let
 * it be revealed as any of their own, and label more with it.
 */
export const KUBERNETES_SECRET = 'kubernetes.secret';

/** Bounds of lists, chosen so that the cost of every CEL rule stays far below the API server's limit. */
const MAX_COLUMNS = 64;
const MAX_FIELDS = 32;

export const SensitiveData = withRules(
  z.object({
    label: dataLabel.describe('Name of this sort of data, for policies to reveal or mask. Example: pii.email'),
    columns: distinct(columnName, MAX_COLUMNS)
      .optional()
      .describe(
        'Columns that hold it, schema.table.column as the server prints them; case matters. What is derived from them is masked too. Example: [public.customers.email]',
      ),
    fields: distinct(kubernetesField, MAX_FIELDS)
      .optional()
      .describe(
        `Fields of objects of the Kubernetes API that hold it, in whatever form an object is shown. Example: [configmaps:data.password, "env:*_PASSWORD"]. ${FIELD_SYNTAX}`,
      ),
    detector: z
      .enum(DETECTORS)
      .optional()
      .describe(
        'Finds it by content, in columns and fields that nobody labelled: numbers of cards, accounts (iban), persons (ssn) and telephones, mail addresses, and keys by the form that their issuer gives them. Default: none. Example: credit-card',
      ),
  }),
  {
    cel: 'has(self.columns) || has(self.fields) || has(self.detector)',
    message: 'name columns, fields or a detector; a label alone finds nothing',
    check: (self) => self.columns !== undefined || self.fields !== undefined || self.detector !== undefined,
  },
);
