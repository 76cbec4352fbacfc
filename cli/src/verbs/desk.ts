import type { ClusterFlags } from '../collector/transport.ts';
import { CliError, usage } from '../errors.ts';
import type { ProgramOptions } from '../program.ts';
import type { RequestDesk } from '../requests/desk.ts';
import type { Played } from '../requests/local-person.ts';

export interface DeskFlags extends ClusterFlags {
  readonly data?: string;
}

/**
 * Gives the verb the requests of a cluster, as `kubectl chaperone` or where a flag names one, or those of a local `chaperone up`, where
 * --as plays somebody.
 */
export async function withDesk(
  options: ProgramOptions,
  flags: DeskFlags,
  use: (desk: RequestDesk) => Promise<void>,
): Promise<void> {
  await using desk = await openDesk(options, flags);
  await use(desk);
}

async function openDesk({ io, name }: ProgramOptions, flags: DeskFlags): Promise<RequestDesk> {
  const [{ defaultData }, { openLocalDesk }] = await Promise.all([
    import('../collector/local.ts'),
    import('../requests/local-desk.ts'),
  ]);
  const { context, cluster, user, kubeconfig, namespace, allNamespaces, data } = flags;
  const openCluster = async (): Promise<RequestDesk> =>
    (await import('../requests/cluster-desk.ts')).openClusterDesk(flags, io.env);
  if (data !== undefined) {
    if ([context, cluster, user, kubeconfig].some((flag) => flag !== undefined))
      throw usage('--data is about this machine, and flags of a kubeconfig are about a cluster; leave one of them out');
    return openLocalDesk({ data, played: played(flags) });
  }
  if (name !== 'chaperone' || [context, cluster, user, kubeconfig, namespace].some((flag) => flag !== undefined))
    return openCluster();
  try {
    return await openLocalDesk({ data: defaultData(io.env), played: played(flags) });
  } catch (error) {
    const isMeantForOne = allNamespaces === true || io.env['KUBECONFIG'] !== undefined;
    if (!(error instanceof CliError) || error.code === 'Usage' || !isMeantForOne) throw error;
    return openCluster();
  }
}

function played({ as, asGroup = [], asUid }: DeskFlags): Played | undefined {
  if (asUid !== undefined) throw usage('--as-uid is for a cluster; at chaperone up people have no UID');
  if (as === undefined && asGroup.length > 0) throw usage('--as-group needs --as');
  return as === undefined ? undefined : { user: as, groups: asGroup };
}
