import type { Trust } from '@chaperone/evidence';

/** How requests reach a collector, and whom to trust for what it holds. */
export interface Transport extends AsyncDisposable {
  /** A GET of a path below the collector's root; with a body a POST of it, which is JSON and which the path has to name by its digest. */
  fetch(path: string, body?: string): Promise<Response>;
  /** The log's origin and the enrolment keys, from where the collector cannot change them. */
  trust(): Promise<Trust>;
}

/** Which cluster, as whom, in which namespaces. */
export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly cluster?: string;
  readonly user?: string;
  readonly namespace?: string;
  readonly allNamespaces?: boolean;
  readonly as?: string;
  readonly asGroup?: string[];
  readonly asUid?: string;
  readonly requestTimeout?: string;
  readonly chaperoneNamespace?: string;
  /** Where the collector is; without it a tunnel is opened. */
  readonly collector?: string;
  /** A file with the CA of its certificate. */
  readonly collectorCa?: string;
}
