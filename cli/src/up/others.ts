import { BlockList, isIP } from 'node:net';
import type { Code } from '@chaperone/api/codes';
import type { Agent } from '@chaperone/policy';
import type { ReadyResource } from './up.ts';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** What another name stands for is not ours to say, and may change. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  return family === 0 ? host === 'localhost' : LOOPBACK.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/** Where other machines may reach what is served here: nobody is asked who they are. */
export function othersReach(
  served: readonly Pick<ReadyResource, 'resource' | 'address'>[],
  { namespace, serviceAccount }: Pick<Agent, 'namespace' | 'serviceAccount'>,
): { resource: string; code: Code; message: string }[] {
  return served
    .filter(({ address }) => !isLoopback(address.slice(0, address.lastIndexOf(':')).replace(/^\[(.*)\]$/, '$1')))
    .map(({ resource, address }) => ({
      resource,
      code: 'ReachableByOthers',
      message: `whoever reaches ${address} is ${namespace}/${serviceAccount} on ${resource}; only a loopback address is this machine’s own`,
    }));
}
