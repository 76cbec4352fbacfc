import type { JSX } from 'preact';
import { Recorded } from '../ui/recorded.tsx';
import type { LiveViewer } from './live.ts';

/** As whom this person answers; in embedded mode that it is nobody in particular. */
export function You({ viewer }: { viewer: LiveViewer }): JSX.Element {
  return (
    <p class="count">
      You are <Recorded text={viewer.user} names frame={false} />
      {viewer.note !== undefined && `, ${viewer.note}`}
    </p>
  );
}
