import { type Found, type Reporter, type Row, Rows } from './rows.ts';
import { timeOf } from '../time.ts';

/**
 * Who read evidence: a row for each entry of the range that says so. Who it was is null where nobody says it any more, or not to who asks.
 * What was read of several sessions at once was read of every agent, whatever the filter.
 */
export class Reads implements Reporter {
  readonly columns = ['at', 'entry', 'by', 'way', 'session', 'namespace', 'agent', 'from', 'to'];

  rows({ file, contexts, isAbout }: Found): Row[] {
    const rows = new Rows();
    for (const { at, entry, by = null, way, session, period } of file.readings ?? []) {
      if (session !== undefined && !isAbout(session)) continue;
      const agent = contexts.get(session ?? '')?.agent;
      const times = period === undefined ? [null, null] : [timeOf(period.from), timeOf(period.to)];
      rows.add([timeOf(at), entry, by, way, session ?? null, agent?.namespace ?? null, agent?.serviceAccount ?? null, ...times]);
    }
    return rows.all;
  }
}
