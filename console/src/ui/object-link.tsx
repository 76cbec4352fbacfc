import type { JSX } from 'preact';
import { auth } from '../server.ts';
import { useStore } from '../store.ts';
import { Recorded } from './recorded.tsx';

const PATH = /^[a-z0-9-]{1,63}\/[a-z0-9.-]{1,253}$/;

interface ObjectLinkProps {
  readonly to: 'policies' | 'resources';
  readonly of: { readonly namespace: string; readonly name: string };
  /** Whether the name stands in a frame; one that is no name of ours always does. */
  readonly frame?: boolean;
}

/** The name of a policy or a resource, which leads to its page where there is one; what a record says in its place is only shown. */
export function ObjectLink({ to, of, frame = false }: ObjectLinkProps): JSX.Element {
  const hasPages = useStore(auth)?.policies === true;
  const name = `${of.namespace}/${of.name}`;
  const isName = PATH.test(name);
  const said = <Recorded text={name} names frame={frame || !isName} />;
  return hasPages && isName ? <a href={`/${to}/${name}`}>{said}</a> : said;
}
