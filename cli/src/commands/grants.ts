import type { AccessRequest } from '@chaperone/api';
import { visible } from '@chaperone/api/text';
import { isGranting } from '@chaperone/policy';
import { CliError, EXIT } from '../errors.ts';
import { type Io, table, writeLine } from '../io.ts';
import { type DocumentOutput, writeDocument } from '../output.ts';
import type { RequestDesk } from '../requests/desk.ts';
import { effectCell, left } from '../requests/text.ts';

const COLUMNS = ['NAME', 'AGENT', 'RESOURCE', 'EFFECT', 'BY', 'USES', 'LEFT'];

/** `grants ls`: approved requests of which the same may run again, those that end soonest first. */
export async function listGrants(
  desk: RequestDesk,
  namespace: string | undefined,
  { output }: { readonly output: 'table' | DocumentOutput },
  io: Io,
): Promise<void> {
  const requests = await desk.list({ namespace });
  const now = io.now();
  const items = requests.filter(({ status }) => isGranting(status ?? {}, now)).toSorted((a, b) => untilOf(a) - untilOf(b));
  if (output !== 'table') return writeDocument(io, output, { apiVersion: 'v1', kind: 'List', items });
  if (items.length === 0) return void io.err.write('Nothing is granted.\n');
  await writeLine(
    io.out,
    table(
      COLUMNS,
      items.map((item) => rowOf(item, requests, now)),
    ),
  );
}

/** Whether the request grants something; what does not cannot be revoked. @throws CliError AlreadyDecided */
export function demandGranting(request: AccessRequest, now: number): void {
  const { metadata, status = {} } = request;
  if (isGranting(status, now)) return;
  const { grantedUntil, revokedBy } = status;
  const why =
    revokedBy !== undefined
      ? `was revoked by ${visible(revokedBy)} already`
      : grantedUntil === undefined
        ? 'grants nothing beyond itself'
        : `granted until ${visible(grantedUntil)}, and does not any more`;
  throw new CliError('AlreadyDecided', `${metadata.name} ${why}`, { exit: EXIT.tooLate, fix: ['chaperone grants ls'] });
}

function rowOf(request: AccessRequest, all: readonly AccessRequest[], now: number): string[] {
  const { metadata, spec, status } = request;
  const by = (status?.decisions ?? []).filter(({ counted, decision }) => counted && decision === 'Approve');
  const uses = all.filter((each) => each.spec.grantedBy === metadata.name && each.metadata.namespace === metadata.namespace);
  return [
    metadata.name,
    spec.agent.pod ?? spec.agent.serviceAccount,
    `${spec.resource.namespace}/${spec.resource.name}`,
    effectCell(request),
    visible(by.map((each) => each.by).join(',')),
    String(uses.length),
    left(untilOf(request) - now),
  ];
}

function untilOf({ status }: AccessRequest): number {
  return Date.parse(status?.grantedUntil ?? '');
}
