import { type Access, type Action, judge } from '@chaperone/policy';

/**
 * Whether what was decided holds while it goes on. It is judged anew where the policy has changed, and at first, since it may have
 * changed before it began.
 * @param wasApproved - people agreed to it: then it needs no more than to be a matter for people
 * @param kept - what of the policy it began with and cannot take anew
 */
export function standing(
  access: () => Access,
  action: Action,
  wasApproved: boolean,
  kept: (access: Access) => unknown = () => undefined,
): () => boolean {
  const began = JSON.stringify(kept(access()));
  let known: { readonly digest: string; readonly holds: boolean } | undefined;
  return () => {
    const now = access();
    if (known?.digest !== now.digest) {
      const { verdict } = judge(now, action);
      const isLetThrough = verdict === 'allow' || (wasApproved && verdict === 'approve');
      known = { digest: now.digest, holds: isLetThrough && JSON.stringify(kept(now)) === began };
    }
    return known.holds;
  };
}

/** What decides how values are shown. */
export function masksOf({ sensitive, reveal, masking }: Access): unknown {
  return [sensitive, reveal, masking];
}
