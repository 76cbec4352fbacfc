import type { ProtectedResource } from '@chaperone/api';
import type { JSX } from 'preact';
import { Objects } from '../policies/list.tsx';
import { type ObjectList, useTold } from '../policies/load.ts';
import { ResourceTable } from '../policies/rows.tsx';
import { address, place } from '../router.ts';
import { useStore } from '../store.ts';

/** Which resources there are, what is behind each, and whether it can be used. */
export default function Resources(): JSX.Element {
  const namespace = useStore(place).query.get('namespace') ?? '';
  const told = useTold<ObjectList<ProtectedResource>>(address('/v1/resources', { namespace }));
  return (
    <Objects
      title="Resources"
      words={['resource', 'resources']}
      kind="protectedresources"
      told={told}
      table={(items) => <ResourceTable items={items} />}
    />
  );
}
