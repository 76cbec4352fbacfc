import { injectPod } from '../injection/inject.ts';
import { type Operation, patchPod } from '../injection/patch.ts';
import type { Pod } from '../injection/pod.ts';
import { describeProblems, findProblems } from '../injection/problems.ts';
import type { CaptureMode, InjectionConfig } from '../injection/profile.ts';
import type { Regarding } from '../kube/events.ts';

/** What is known about a governed namespace at this moment, from memory: admission waits for no call. */
export interface NamespaceFacts {
  /** Value of the annotation chaperone.dev/default-run-as-user, where it is a user. */
  readonly defaultRunAsUser?: number | undefined;
  /** Ports that policies selecting this pod open to other pods. */
  readonly inboundPorts?: readonly number[];
  /** Who writes the rules of its pods. Default: pod */
  readonly capture?: CaptureMode | undefined;
}

export interface ReviewOptions {
  /** Read at every request, so that a new CA or image is used at once. */
  readonly config: () => InjectionConfig;
  /** Extended resources that agents may ask for. Default: none. */
  readonly devices?: readonly string[];
  /** Default: nothing is known. */
  readonly facts?: (namespace: string, pod: Pod) => NamespaceFacts;
}

/** What the API server is told about one pod. */
export type Review =
  | { readonly allowed: true; readonly uid: string; readonly patch: readonly Operation[] }
  | {
      readonly allowed: false;
      readonly uid: string;
      readonly message: string;
      /** What made the pod, whose author sees no other trace of the refusal. Absent: a person did, or it was a dry run. */
      readonly owner: Regarding | undefined;
    };

/** The request is no admission review that can be answered. */
export class ReviewError extends Error {
  override readonly name = 'ReviewError';
  readonly code = 'AdmissionReviewInvalid';
}

interface AdmissionRequest {
  readonly uid: string;
  readonly namespace: string;
  readonly pod: Pod;
  readonly dryRun: boolean;
}

/**
 * Judges one AdmissionReview (admission.k8s.io/v1, CREATE of a Pod): the patch that makes it an agent's pod, or every reason
 * why it cannot be one.
 * @throws ReviewError where the review cannot be read; the API server then refuses the pod (`failurePolicy: Fail`).
 */
export function reviewPod(body: unknown, options: ReviewOptions): Review {
  const { uid, namespace, pod, dryRun } = parseReview(body);
  const config = options.config();
  const facts = options.facts?.(namespace, pod) ?? {};
  const input = { pod, config, defaultRunAsUser: facts.defaultRunAsUser, inboundPorts: facts.inboundPorts ?? [] };
  const problems = findProblems({ ...input, devices: options.devices ?? [] });
  if (problems.length > 0) {
    const owner = dryRun ? undefined : ownerOf(pod, namespace);
    return { allowed: false, uid, message: describeProblems(pod, namespace, problems), owner };
  }
  return { allowed: true, uid, patch: patchPod(pod, injectPod({ ...input, capture: facts.capture })) };
}

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

function demand<T>(value: unknown, is: (candidate: unknown) => candidate is T, what: string): T {
  if (!is(value)) throw new ReviewError(`the admission review has no usable ${what}`);
  return value;
}

const isText = (value: unknown): value is string => typeof value === 'string' && value.length > 0 && value.length <= 253;
const isNamed = (value: unknown): value is Fields => isFields(value) && typeof value['name'] === 'string';
const isNamedList = (value: unknown): value is Fields[] => Array.isArray(value) && value.every(isNamed);

function parseReview(body: unknown): AdmissionRequest {
  const review = demand(body, isFields, 'object');
  if (review['apiVersion'] !== 'admission.k8s.io/v1' || review['kind'] !== 'AdmissionReview')
    throw new ReviewError('the body is no AdmissionReview of admission.k8s.io/v1');
  const request = demand(review['request'], isFields, 'request');
  const kind = demand(request['kind'], isFields, 'request.kind');
  if (request['operation'] !== 'CREATE' || kind['kind'] !== 'Pod' || kind['group'] !== '' || request['subResource'] !== undefined)
    throw new ReviewError('only the creation of pods is reviewed here');
  return {
    uid: demand(request['uid'], isText, 'request.uid'),
    namespace: demand(request['namespace'], isText, 'request.namespace'),
    pod: parsePod(request['object']),
    dryRun: request['dryRun'] === true,
  };
}

function ownerOf(pod: Pod, namespace: string): Regarding | undefined {
  const references = pod.metadata['ownerReferences'];
  const owner = Array.isArray(references) ? references.filter(isFields).find(({ controller }) => controller === true) : undefined;
  const [apiVersion, kind, name, uid] = [owner?.['apiVersion'], owner?.['kind'], owner?.['name'], owner?.['uid']];
  if (!isText(apiVersion) || !isText(kind) || !isText(name) || !isText(uid)) return undefined;
  return { apiVersion, kind, namespace, name, uid };
}

/** The API server has decoded the pod into its own types before; this says again what the code relies on. */
function parsePod(value: unknown): Pod {
  const pod = demand(value, isFields, 'pod');
  demand(pod['metadata'], isFields, 'pod.metadata');
  const spec = demand(pod['spec'], isFields, 'pod.spec');
  demand(spec['containers'], isNamedList, 'pod.spec.containers');
  for (const field of ['initContainers', 'volumes'] as const)
    if (spec[field] !== undefined) demand(spec[field], isNamedList, `pod.spec.${field}`);
  return pod as unknown as Pod;
}
