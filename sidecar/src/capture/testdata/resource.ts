import type { ResourceAddress } from '@chaperone/api';
import type { GrantedResource } from '@chaperone/policy';

/** A granted resource as far as capture looks at one. */
export function aGrantedResource(name: string, port: number, addresses: ResourceAddress[]): GrantedResource {
  const resource = { namespace: 'data', name, generation: 1, protocol: 'tcp' };
  return { access: { resource }, hosts: addresses.map(({ host }) => host), port, addresses } as unknown as GrantedResource;
}
