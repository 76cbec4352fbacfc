/** What a record says of a request to the Kubernetes API: see KubernetesCall of @chaperone/evidence. */
export interface CallFacts {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  readonly dryRun: boolean;
  readonly userAgent?: string | undefined;
  readonly command?: string | undefined;
  readonly run?: string | undefined;
}

/** v1/secrets, apps/v1/deployments/scale */
export function resourceText({ group, version, resource, subresource }: CallFacts): string {
  return [group, version, resource, subresource].filter((word) => word !== '').join('/');
}

/** shop/web, or shop/* for what has no name, with `(dry run)` behind it where nothing was to be stored. */
export function objectText({ namespace, name, dryRun }: CallFacts): string {
  const object = namespace === '' ? name || '*' : `${namespace}/${name || '*'}`;
  return `${object}${dryRun ? ' (dry run)' : ''}`;
}

/** What the client says that it is, which may be anything: `kubectl/v1.34.1`, or `kubectl apply, run 1f2e3d4c`. */
export function clientText({ userAgent = '', command = 'kubectl', run }: CallFacts): string {
  return run === undefined ? (userAgent.split(' ')[0] ?? '') : `${command}, run ${run.slice(0, 8)}`;
}
