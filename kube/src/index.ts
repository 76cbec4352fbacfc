export { type AskedRight, isPermitted } from './access-review.ts';
export { apply, type ApplyTarget, createIfAbsent, FIELD_MANAGER, getObject } from './apply.ts';
export { ApiError, isConflict, isExpired, isNotFound } from './errors.ts';
export { type Change, Informer, type InformerOptions } from './informer.ts';
export { listWatch, type ListWatchOptions, pause, type Selection, TIMINGS, type Timings } from './listwatch.ts';
export { keyOf, KINDS, type KubeObject, pathOf, type ResourceKind } from './objects.ts';
export { inCluster } from './in-cluster.ts';
export {
  type ClusterAccess,
  createTransport,
  type Kube,
  type KubeRequest,
  type TransportOptions,
  type WatchEvent,
  type WatchRequest,
} from './transport.ts';
