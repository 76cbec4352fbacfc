import { KUBERNETES_SECRET, type MaskStrategy, type Protocol } from '@chaperone/api';
import type { Access } from './access.ts';

/** Whether this agent sees values of `label` as they are. What nobody reveals is masked. */
export function isRevealed(access: Access, label: string): boolean {
  return access.reveal.includes(label);
}

/** How values of a masked label are shown; redact where no policy says otherwise. */
export function strategyFor(access: Access, label: string): MaskStrategy {
  const stated = Object.hasOwn(access.masking, label) ? access.masking[label] : undefined;
  return stated ?? { redact: {} };
}

/** Labels that values of a resource may have: those of its owner, and what is built in. */
export function labelsOf(protocol: Protocol, sensitive: readonly { readonly label: string }[]): string[] {
  return [...new Set([...(protocol === 'kubernetes' ? [KUBERNETES_SECRET] : []), ...sensitive.map(({ label }) => label)])];
}
