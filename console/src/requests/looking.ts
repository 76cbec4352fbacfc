import type { AccessRequest } from '@chaperone/api';
import { lookingMs } from '@chaperone/api/requests';
import { useEffect, useState } from 'preact/hooks';
import { serverNow } from '../server.ts';

/** Whether what a request meets may still be looked at; draws again when that is over. */
export function useLooking(request: AccessRequest): boolean {
  const [, setOver] = useState<string>();
  const left = lookingMs(request, serverNow());
  const { uid } = request.metadata;
  const isLooking = left > 0;
  useEffect(() => {
    if (!isLooking) return undefined;
    const timer = setTimeout(() => setOver(uid), left);
    return () => clearTimeout(timer);
  }, [uid, isLooking]);
  return isLooking;
}
