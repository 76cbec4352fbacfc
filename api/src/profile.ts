import { z } from 'zod';
import { API_VERSION, ObjectMeta } from './meta.ts';

const MAX_CONTAINERS = 8;
const MAX_VOLUMES = 8;
/** Two for each rotation of the CA, of which there are three in two years. */
export const MAX_OPERATOR_CAS = 16;
/** Three certificates take 2 KB. */
const MAX_CA_CHARS = 16_384;

/** A piece of a pod, kept exactly as the injection writes it; admission compares it field by field. */
const PodPiece = z.looseObject({});

export const InjectionProfileSpec = z
  .object({
    uid: z.int().min(1).max(2_147_483_647).describe('User and group that the sidecar alone runs as. Example: 24601'),
    containers: z
      .array(PodPiece)
      .min(1)
      .max(MAX_CONTAINERS)
      .describe(
        'Containers that injection adds in front of a pod’s init containers, in this order, with every default written out.',
      ),
    volumes: z.array(PodPiece).max(MAX_VOLUMES).describe('Volumes that injection adds to a pod.'),
    operatorCas: z
      .array(z.string().max(MAX_CA_CHARS))
      .max(MAX_OPERATOR_CAS)
      .optional()
      .describe(
        'What CHAPERONE_OPERATOR_CA of a pod may be instead of what `containers` says: the next bundle of CA certificates, before it is injected, and those that pods were given before. The newest comes first.',
      ),
  })
  .describe('What is injected.');
export const InjectionProfile = z
  .object({
    apiVersion: z.literal(API_VERSION),
    kind: z.literal('InjectionProfile'),
    metadata: ObjectMeta,
    spec: InjectionProfileSpec,
  })
  .describe(
    'What the operator injects into agents’ pods. It is written by the operator and read by admission, which refuses a pod that differs from it.',
  );
export type InjectionProfile = z.infer<typeof InjectionProfile>;
