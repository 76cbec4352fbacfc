import { z } from 'zod';
import type { S3Settings } from './s3-store.ts';

const text = z.string().min(1).max(255);
/** Plain http carries evidence in the clear: only to what runs on this machine. */
const endpoint = z.url({ protocol: /^https?$/ }).refine((url) => {
  const { protocol, hostname } = new URL(url);
  return protocol === 'https:' || ['127.0.0.1', '[::1]', 'localhost'].includes(hostname);
});

/** The environment of a collector that keeps objects in a bucket. Credentials are where Amazon's tools look for them. */
export const S3Environment = z
  .object({
    CHAPERONE_S3_BUCKET: text,
    CHAPERONE_S3_PREFIX: z
      .string()
      .max(200)
      .regex(/^([a-zA-Z0-9._-]+\/)*$/)
      .default(''),
    CHAPERONE_S3_REGION: text,
    CHAPERONE_S3_ENDPOINT: endpoint.optional(),
    CHAPERONE_S3_PATH_STYLE: z.stringbool().default(false),
    CHAPERONE_S3_LOCK_MODE: z.enum(['GOVERNANCE', 'COMPLIANCE']).optional(),
    CHAPERONE_S3_LOCK_DAYS: z.coerce.number().int().min(1).max(36_500).optional(),
  })
  .refine((found) => (found.CHAPERONE_S3_LOCK_MODE === undefined) === (found.CHAPERONE_S3_LOCK_DAYS === undefined), {
    path: ['CHAPERONE_S3_LOCK_DAYS'],
  });

export function s3Settings(found: z.infer<typeof S3Environment>): S3Settings {
  const { CHAPERONE_S3_ENDPOINT: at, CHAPERONE_S3_LOCK_MODE: mode, CHAPERONE_S3_LOCK_DAYS: days } = found;
  return {
    bucket: found.CHAPERONE_S3_BUCKET,
    prefix: found.CHAPERONE_S3_PREFIX,
    region: found.CHAPERONE_S3_REGION,
    pathStyle: found.CHAPERONE_S3_PATH_STYLE,
    ...(at === undefined ? {} : { endpoint: at }),
    ...(mode === undefined || days === undefined ? {} : { lock: { mode, days } }),
  };
}
