import type { Detector } from '@chaperone/api';
import { type Access, strategyFor } from '@chaperone/policy';
import { type Mask, maskOf, strictest } from './strategies.ts';

/** Labels whose values this agent does not see. */
export function hiddenLabels(access: Access): ReadonlySet<string> {
  return new Set(access.sensitive.map(({ label }) => label).filter((label) => !access.reveal.includes(label)));
}

/** How values of a label are shown. */
export function maskOfLabel(access: Access, label: string): Mask {
  const key = Object.hasOwn(access.hashKeys ?? {}, label) ? access.hashKeys?.[label] : undefined;
  return maskOf(strategyFor(access, label), key === undefined ? undefined : Buffer.from(key, 'base64'));
}

/** What is found by its content may be a text of the agent's own: a hash of it would tell which value others belong to. */
export function maskOfFinds(access: Access, label: string): Mask {
  const mask = maskOfLabel(access, label);
  return mask.kind === 'hash' ? { kind: 'redact' } : mask;
}

/** What is looked for in text that has no columns, and how that is shown; where two labels have one detector, the stricter way. */
export function maskedFinds(access: Access): ReadonlyMap<Detector, Mask> {
  const hidden = hiddenLabels(access);
  const masks = new Map<Detector, Mask>();
  for (const { label, detector } of access.sensitive) {
    if (detector === undefined || !hidden.has(label)) continue;
    const before = masks.get(detector);
    const mask = maskOfFinds(access, label);
    masks.set(detector, before === undefined ? mask : strictest([before, mask]));
  }
  return masks;
}
