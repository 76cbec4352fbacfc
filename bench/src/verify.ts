import {
  createEpoch,
  DataKey,
  encodeNkey,
  generateSigner,
  leafHash,
  leavesReader,
  members,
  merkleRoot,
  newSessionId,
  noteSigner,
  outputRecords,
  encodeRecord,
  formatCheckpoint,
  formatNote,
  formatVerifierKey,
  parsePolicy,
  parseSegment,
  proveInclusion,
  sealSegment,
  segmentLeaf,
  signNote,
  signRegistration,
  verifyEvidence,
  writeEvidence,
  type RecordBody,
} from '@chaperone/evidence';

/*
 * node bench/src/verify.ts: how fast an evidence file is verified, in MB of the file and of the records in it, by content. One thread.
 */
const SEGMENTS = 48;
const ROUNDS = 5;
const origin = 'bench/1';
const agent = { namespace: 'agents', serviceAccount: 'bot' };
const enrolment = generateSigner();
const log = noteSigner(origin, generateSigner());
const trust = { origin, enrolmentKeys: [enrolment.publicKey.toString('base64url')] };
const policy = parsePolicy(Buffer.from(`log ${formatVerifierKey(log.key)}\nquorum none\n`));

/** A session of records of about 900 kB each segment, of which `make` gives one. */
function file(make: (at: number) => RecordBody): { bytes: Promise<Buffer>; plain: number } {
  const nkey = generateSigner();
  const registration = signRegistration({ nkey: encodeNkey(nkey.publicKey), agent, origin, issuedAt: 1 }, enrolment);
  const epoch = createEpoch({ nkey, registration }, 1, 1);
  const session = newSessionId();
  const key = DataKey.random(session);
  const client = { address: '', tls: false };
  const resource = { namespace: 'data', name: 'db', protocol: 'postgres' };
  let [seq, plain] = [0, 0];
  const sealed: ReturnType<typeof sealSegment>[] = [];
  for (let number = 0; number < SEGMENTS; number++) {
    const [firstSeq, records]: [number, Buffer[]] = [seq, []];
    const add = (body: RecordBody): number => {
      const { text, data } = encodeRecord({ ...body, seq, at: seq, mono: seq++ });
      const record = data === undefined ? Buffer.from(text) : Buffer.concat([Buffer.from(text), data]);
      records.push(record);
      return record.length + 4;
    };
    let bytes =
      number === 0
        ? add({ type: 'session.open', session, agent, resource, purpose: '', policies: [], mode: 'Enforce', client })
        : 0;
    while (bytes < 830_000 && records.length < 1_000) bytes += add(make(seq));
    plain += bytes;
    const prev = sealed.at(-1)?.link ?? null;
    const counters = { actions: 0, denied: 0, masked: 0, dropped: 0 };
    const clock = { wall: [0, 1], mono: [0, 1], sealed: 1 } as const;
    sealed.push(
      sealSegment({
        origin,
        session,
        number,
        prev,
        policy: 'p',
        key,
        registration,
        epoch,
        firstSeq,
        records,
        clock,
        counters,
        flags: number === 0 ? ['open'] : [],
      }),
    );
  }
  const entries = sealed.map(({ bytes }) => segmentLeaf(parseSegment(bytes)));
  const leaves = entries.map(leafHash);
  const text = formatCheckpoint({ origin, size: leaves.length, root: merkleRoot(leaves), extensions: [] });
  const checkpoint = Buffer.from(formatNote(signNote({ text, signatures: [] }, [log])));
  const list = [
    members.key(key),
    ...sealed.flatMap(({ bytes }, index) => [
      members.proof({ index, path: proveInclusion(index, leaves.length, leavesReader(leaves)), checkpoint }),
      members.segment(session, index, bytes),
    ]),
  ];
  const written = async (): Promise<Buffer> => {
    const pieces: Buffer[] = [];
    for await (const piece of writeEvidence([members.head(origin), members.checkpoint(checkpoint), ...list])) pieces.push(piece);
    return Buffer.concat(pieces);
  };
  return { bytes: written(), plain };
}

/** Text that compresses as rows of a table do. */
const row = (at: number): string => `t:customer ${at} of ${(at * 7919) % 10007}, ${'abcdefghij'.repeat(2)}@example.com`;
const noise = Buffer.from(Array.from({ length: 60_000 }, (_, at) => ((at * 2_654_435_761) >>> 13) & 255));
const LOADS: Readonly<Record<string, (at: number) => RecordBody>> = {
  'rows, 100 in a record': (at) => ({
    type: 'rows',
    action: 1,
    rows: Array.from({ length: 100 }, (_, row_) => [String(at), row(at + row_), null]),
  }),
  'short notes': (at) => ({ type: 'note', code: 'Test', message: row(at) }),
  'output, 60 kB in a record': (at) =>
    outputRecords(1, 'stdout', Buffer.from(noise.map((byte) => byte ^ at)))[0] ?? { type: 'note', code: '', message: '' },
};

for (const [name, make] of Object.entries(LOADS)) {
  const { bytes: writing, plain } = file(make);
  const bytes = await writing;
  const rates: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const from = process.cpuUsage();
    const { sessions } = await verifyEvidence([bytes], { ...trust, policy });
    const { user, system } = process.cpuUsage(from);
    if (sessions[0]?.verdict !== 'open') throw new Error(`the evidence is ${sessions[0]?.verdict}: ${sessions[0]?.break?.code}`);
    rates.push((user + system) / 1e6);
  }
  const seconds = rates.toSorted((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 1;
  process.stdout.write(
    `${name.padEnd(28)} file ${(bytes.length / 1e6 / seconds).toFixed(0)} MB/s, records ${(plain / 1e6 / seconds).toFixed(0)} MB/s of CPU\n`,
  );
}
