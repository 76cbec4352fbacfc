import type { ComponentChildren, JSX } from 'preact';

/** A fact of a line of facts, or of a list of them. */
export function Fact({ name, children }: { name: string; children: ComponentChildren }): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}
