import type { AccessRequest } from '@chaperone/api';
import { isGranting, usesOf } from '@chaperone/api/requests';
import { visible } from '@chaperone/api/text';
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

function rowOf(request: AccessRequest, all: readonly AccessRequest[], now: number): string[] {
  const { metadata, spec, status } = request;
  const by = (status?.decisions ?? []).filter(({ counted, decision }) => counted && decision === 'Approve');
  return [
    metadata.name,
    spec.agent.pod ?? spec.agent.serviceAccount,
    `${spec.resource.namespace}/${spec.resource.name}`,
    effectCell(request),
    visible(by.map((each) => each.by).join(',')),
    String(usesOf(request, all)),
    left(untilOf(request) - now),
  ];
}

function untilOf({ status }: AccessRequest): number {
  return Date.parse(status?.grantedUntil ?? '');
}
