import {
  cosigner,
  EMPTY_TREE,
  formatCheckpoint,
  formatNote,
  formatVerifierKey,
  generateSigner,
  KEY_TYPE,
  type NoteSigner,
  noteSigner,
  signNote,
  treeRoot,
} from '@chaperone/evidence';
import { expect, test } from 'vitest';
import type { LogVerdict } from '../commands/log.ts';
import { type Counted, type EvidenceFacts, evidenceFindings } from './evidence.ts';

const NOW = 1_790_000_000_000;
const ORIGIN = 'test/uid';
const log = noteSigner(ORIGIN, generateSigner());
const stranger = noteSigner(ORIGIN, generateSigner());
const witness = (name: string): NoteSigner =>
  cosigner(`${name}.example/w`, KEY_TYPE.cosignature, generateSigner(), NOW / 1000 - 12);
const [security, audit] = [witness('security'), witness('audit')];
const v = ({ key }: NoteSigner): string => formatVerifierKey(key);
const POLICY = `log ${v(log)}\nquorum none\n`;
const witnessed = (quorum: string): string =>
  `log ${v(log)}\nwitness security ${v(security)}\nwitness audit ${v(audit)}\n${quorum}\n`;
const note = (...signers: NoteSigner[]): Buffer =>
  Buffer.from(
    formatNote(
      signNote(
        { text: formatCheckpoint({ origin: ORIGIN, size: 0, root: treeRoot(EMPTY_TREE), extensions: [] }), signatures: [] },
        signers,
      ),
    ),
  );

const counted = (mods: Partial<Counted> = {}): Counted => ({
  pod: 'agents/bot',
  receivedAt: NOW - 3_000,
  isGone: false,
  waiting: 1,
  unnamed: 0,
  ...mods,
});
const facts = (mods: Partial<EvidenceFacts> = {}): EvidenceFacts => ({
  now: NOW,
  system: 'chaperone-system',
  policy: { seen: POLICY },
  counters: { seen: [counted()] },
  checkpoint: { seen: { is: note(log) } },
  ...mods,
});
const verdict = (mods: Partial<LogVerdict>): LogVerdict => ({
  verdict: 'sound',
  origin: ORIGIN,
  size: 9,
  since: 4,
  key: 'given',
  faults: [],
  ...mods,
});
const said = (given: EvidenceFacts): string[] =>
  evidenceFindings(given).map(({ level, check, message }) => `${level} ${check} ${message}`);

test('of an installation that is well everything is said to be', () => {
  expect(said(facts())).toEqual([
    'ok spools 1 pods count their evidence, and none lags',
    'ok log the log has 0 entries, and its key signed that',
    'ok witnesses none is configured: the log’s own key is all there is to believe',
  ]);
});

test.each<[string, Partial<EvidenceFacts>, string]>([
  [
    'a pod with evidence that says nothing',
    { counters: { seen: [counted({ receivedAt: NOW - 61_000 })] } },
    'warn spools 1 pods whose evidence has no receipt have said nothing for a minute: agents/bot; what they have is in their spools',
  ],
  [
    'a pod that lags',
    { counters: { seen: [counted({ waiting: 57, unnamed: 17 })] } },
    'warn spools 1 pods wait for receipts of more sessions than they can name: agents/bot; their spools fill up',
  ],
  [
    'a silent pod with nothing to say, and one that is gone, which its policy tells of',
    { counters: { seen: [counted({ receivedAt: 0, waiting: 0 }), counted({ receivedAt: 0, isGone: true })] } },
    'ok spools 1 pods count their evidence, and none lags',
  ],
  [
    'a collector that does not answer',
    { checkpoint: { seen: { fault: 'no pod of the collector is ready (CollectorUnreachable)' } } },
    'FAIL log the collector gives no checkpoint: no pod of the collector is ready (CollectorUnreachable)',
  ],
  [
    'an operator that never led',
    { policy: { seen: undefined } },
    'FAIL log ConfigMap chaperone-trust does not say whose log is believed: no sidecar lets go of its evidence',
  ],
  [
    'a checkpoint by another key',
    { checkpoint: { seen: { is: note(stranger) } } },
    'FAIL log the collector’s checkpoint is not one of the log that ConfigMap chaperone-trust names (NoteUnsigned)',
  ],
  [
    'a checkpoint that is no note',
    { checkpoint: { seen: { is: Buffer.from('\u001b[2J\r\n=cmd()\0') } } },
    'FAIL log the collector’s checkpoint is not one of the log that ConfigMap chaperone-trust names (MalformedNote)',
  ],
  [
    'witnesses that did their part',
    { policy: { seen: witnessed('quorum none') }, checkpoint: { seen: { is: note(log, security, audit) } } },
    'ok witnesses security, audit cosigned the newest checkpoint, 12 s ago',
  ],
  [
    'a witness that is not needed and did not',
    { policy: { seen: witnessed('quorum none') }, checkpoint: { seen: { is: note(log, security) } } },
    'warn witnesses audit has not cosigned the newest checkpoint',
  ],
  [
    'a quorum that is not met',
    { policy: { seen: witnessed('group q 2 security audit\nquorum q') }, checkpoint: { seen: { is: note(log, security) } } },
    'FAIL witnesses audit has not cosigned the newest checkpoint, and without the quorum no sidecar lets go of its evidence (QuorumMissing)',
  ],
  [
    'a log that goes on from what was kept',
    { since: { seen: { is: verdict({}) } } },
    'ok log-since every entry is as it was signed, and the log goes on from the 4 that were kept',
  ],
  [
    'a log that was replaced',
    { since: { seen: { is: verdict({ verdict: 'rewritten' }) } } },
    'FAIL log-since the log of 9 entries is rewritten: it does not begin with the 4 entries that were kept (LogForked)',
  ],
  [
    'a log that was changed',
    { since: { seen: { is: verdict({ verdict: 'altered', faults: ['entry 3 is another'] }) } } },
    'FAIL log-since the log of 9 entries is altered: entry 3 is another (LogForked)',
  ],
  ['what may not be seen', { counters: { hidden: 'read configmaps of x' } }, 'skip spools you may not read configmaps of x'],
  [
    'a log that may not be read',
    { checkpoint: { hidden: 'read the log of evidence' } },
    'skip log you may not read the log of evidence',
  ],
])('says of %s', (_what, mods, expected) => {
  expect(said(facts(mods))).toContain(expected);
});
