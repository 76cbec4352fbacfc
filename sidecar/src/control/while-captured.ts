import type { Snapshot } from '@chaperone/policy';
import type { CaptureState } from '../capture/watch.ts';
import type { ControlPlane, Revoked } from './control-plane.ts';

/** What sessions are told while capture is not proven: no resource is ready, and what is open ends. */
export interface WhileCaptured {
  readonly control: ControlPlane;
  /** Ends what is open where capture is not proven any more. */
  changed(state: CaptureState): void;
}

/**
 * The control plane as sessions may see it: as it is while `proven` says so. Where it does not, every resource is `notReady`, which
 * each protocol says in its own words, and tells an agent no more than that.
 */
export function whileCaptured(control: ControlPlane, proven: () => boolean): WhileCaptured {
  const listeners: ((revoked: Revoked) => void)[] = [];
  let blocked: { readonly of: Snapshot; readonly snapshot: Snapshot } | undefined;
  const current = (): Snapshot | undefined => {
    const snapshot = control.current();
    if (snapshot === undefined || proven()) return snapshot;
    if (blocked?.of !== snapshot) blocked = { of: snapshot, snapshot: withoutReady(snapshot) };
    return blocked.snapshot;
  };
  control.onRevoke((revoked) => {
    for (const listener of listeners) listener(revoked);
  });
  return {
    control: {
      current,
      onSnapshot: (listener) =>
        control.onSnapshot(() => {
          const snapshot = current();
          if (snapshot !== undefined) listener(snapshot);
        }),
      onRevoke: (listener) => void listeners.push(listener),
      closed: (session) => control.closed?.(session),
      report: (observation) => control.report(observation),
      approvals: control.approvals,
      tlsKey: control.tlsKey,
      stop: () => control.stop(),
    },
    changed: ({ problem }) => {
      if (problem === undefined) return;
      const reason = 'that nothing of this pod goes around its proxy is not certain (CaptureNotProven)';
      for (const listener of listeners) listener({ code: 'ResourceNotReady', reason });
    },
  };
}

const NOT_PROVEN = { code: 'CaptureNotProven', message: 'capture of this pod is not proven' };

function withoutReady(snapshot: Snapshot): Snapshot {
  return { ...snapshot, resources: snapshot.resources.map((resource) => ({ ...resource, notReady: NOT_PROVEN })) };
}
