import type { AccessPolicy } from '@chaperone/api';
import type { JSX } from 'preact';
import { Objects } from '../policies/list.tsx';
import { type ObjectList, useTold } from '../policies/load.ts';
import { PolicyTable } from '../policies/rows.tsx';
import { address, place } from '../router.ts';
import { useStore } from '../store.ts';

/** Which policies there are, whom each selects, and whether it holds on every pod. */
export default function Policies(): JSX.Element {
  const namespace = useStore(place).query.get('namespace') ?? '';
  const told = useTold<ObjectList<AccessPolicy>>(address('/v1/policies', { namespace }));
  return (
    <Objects
      title="Policies"
      words={['policy', 'policies']}
      kind="accesspolicies"
      told={told}
      table={(items) => <PolicyTable items={items} label="Policies" />}
    />
  );
}
