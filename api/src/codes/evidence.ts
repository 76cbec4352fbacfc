import type { CodeEntry, CodeTable } from './entry.ts';

const KEEP = 'Keep it as it is and compare it with a copy or a backup.';
const finding = (what: string, why: string, example: string, fix = KEEP): CodeEntry => ({
  audience: ['operator', 'platform'],
  what,
  why,
  fix,
  retry: 'none',
  example,
});

/** What `verify` finds in one segment or between two (`break.code` of its JSON), and why the collector refuses one. */
export const EVIDENCE_CODES = {
  RecordAltered: finding(
    'A record does not match what was signed.',
    'Each record’s hash is under the signature of its segment; one that was changed, moved or taken out no longer fits.',
    'record 118 in segment 4: record 118 does not match its leaf hash',
  ),
  PayloadAltered: finding(
    'The records of a segment do not match their digest, or cannot be unpacked.',
    'The signed header holds the digest of what follows it.',
    'segment 4: the payload does not match its digest',
  ),
  SignatureInvalid: finding(
    'The segment’s signature is not by the key that it names.',
    'Its header was changed, or it was signed by somebody else.',
    'segment 4: the epoch key did not sign this header',
  ),
  CertificateInvalid: finding(
    'The key that signed the segment was not vouched for by the pod’s own key.',
    'A pod’s key signs each key that it seals segments with; without that anybody could have made it.',
    'segment 4: the nkey did not sign this epoch key',
  ),
  EpochExceeded: finding(
    'The segment says that it was sealed outside the time of the key that signed it.',
    'A pod signs with each key for an hour at most and forgets it; whoever stole one signs nothing of any other time with it.',
    'segment 4: the segment was sealed outside the time of its epoch key',
  ),
  CounterInvalid: finding(
    'What a pod is said to have counted was not signed by its key, or cannot be read.',
    'A file has what pods counted of their evidence, so that what never came is named; each pod signs it with the key of its segments.',
    'counter/0: the epoch key did not sign this counter',
  ),
  RegistrationUntrusted: finding(
    'No operator that is trusted here has registered the pod that signed.',
    'A registration, signed by the operator, says which agent a key belongs to.',
    'segment 0: no trusted enrolment key signed the registration of this pod',
    'Check that the trust you verify with is that of the cluster; if it is, keep the segment as it is.',
  ),
  OriginMismatch: finding(
    'The segment or its registration is from another installation.',
    'The origin is part of every signature, so that evidence of one cluster is not shown as another’s.',
    'segment 0: the segment is of another origin',
    'Verify it with the trust of the cluster that it is from.',
  ),
  AgentMismatch: finding(
    'The session says another agent than the registration of the pod that signed it.',
    'A pod can sign for itself alone.',
    'segment 0: the opening record names another agent or session than the registration',
  ),
  ChainBroken: finding(
    'Two segments of a session do not follow each other.',
    'Each segment is signed together with the digest of the one before it.',
    'segment 4: the segment does not follow the one before it',
  ),
  SegmentMissing: finding(
    'A segment is not there and later ones are.',
    'Missing evidence is said, never passed over.',
    'segment 3: segment 3 is missing; segment 4 stands in its place',
    'Wait where the pod’s spool still delivers; else the gap is the finding.',
  ),
  SegmentMisplaced: finding(
    'A segment stands in the place of another one or in another session.',
    'Session and number are in its signed header.',
    'segment 3: segment 5 stands where 3 belongs',
  ),
  SegmentConflict: finding(
    'The collector has another segment with this number of this session.',
    'Two different signed segments for one place mean that one of them is not what happened; the first one stays.',
    'another segment 4 of this session is stored already',
  ),
  ForeignSession: finding(
    'The session was begun by another pod.',
    'A session belongs to the pod that opened it, so no other may add to it.',
    'another pod has signed this session before',
  ),
  SubjectMismatch: finding(
    'The segment came under the name of another pod or session than its own.',
    'A pod may publish under its own key alone.',
    'refused a segment (SubjectMismatch)',
    'See which pod sent it; its sidecar did not behave as one of this project.',
  ),
  MalformedSegment: finding(
    'These bytes are not a segment, or its parts do not fit each other.',
    'What cannot be read whole is not taken for evidence.',
    'segment 4: the segment ends early',
  ),
  MalformedKey: finding(
    'A key in the evidence is not one.',
    'It has a wrong form, length or checksum.',
    'segment 0: the nkey has a wrong length or checksum',
  ),
  MalformedBundle: finding(
    'The file of evidence is cut off or not one.',
    'Each member of it stands where its kind belongs, its end is marked, and nothing else is in it.',
    'byte 40960 of the file: the file ends early',
    'Export it again.',
  ),
  MalformedParcel: finding(
    'What came to the collector is not a segment with its wrapped key.',
    'A parcel begins with the length of the key.',
    'the parcel has no wrapped key',
    'See whether sidecars and collector are of one release.',
  ),
  KeyUnusable: finding(
    'The data key of a session is gone, is another one, or nobody here can unwrap it.',
    'Without it nobody reads what was recorded; a segment that comes so gets no receipt.',
    'the key was not wrapped to anybody here',
    'Give the collector the reader’s key that its sidecars wrap to, as its Secret or a backup has it.',
  ),
  Erased: finding(
    'What was recorded was erased.',
    'Its key was destroyed by an order that is in the log.',
    'what was recorded was erased; its key is destroyed',
    'chaperone sessions show ID says who ordered it, when and why.',
  ),
  UnsupportedVersion: finding(
    'The segment, or an entry of the log, is of a format that this version does not know.',
    'It was written by a newer version.',
    'segment 0: the segment is of a version that this program does not know',
    'Verify it with that version or a later one.',
  ),
  LimitExceeded: finding(
    'The segment, note or entry of the log is larger than any that is made.',
    'Sizes are bounded before anything is read.',
    'segment 4: the segment is too large',
  ),
  MalformedNote: finding(
    'A signed note, such as a checkpoint of the log, is cut off or not one.',
    'It is text, an empty line, and a line for each signature, as C2SP signed-note says.',
    'the note has no signatures',
  ),
  MalformedTile: finding(
    'A tile of the log, or a bundle of its entries, has another length or number than its name says.',
    'Tiles are what C2SP tlog-tiles says, to the byte.',
    'tile 3 of level 0 has a wrong length',
  ),
  MalformedProof: finding(
    'This is not a proof of an entry, or not a request to a witness.',
    'Each is lines of text whose form C2SP fixes, so that other programs read them alike.',
    'this is not a proof of an entry of a log',
  ),
  MalformedPolicy: finding(
    'The file that says which logs and witnesses to believe cannot be read.',
    'A line of it is not one of C2SP tlog-policy, and nothing is believed by half a policy.',
    'line 4 of the policy: a member has no line before this one',
    'Correct the line that is named.',
  ),
  MalformedLeaf: finding(
    'An entry of the log is not a statement that was signed.',
    'Entries have a version, a kind, a signature and a text, and nothing else.',
    'the entry of the log ends early',
  ),
  NoteUnsigned: finding(
    'No key that is trusted here has signed the checkpoint.',
    'Signatures of other keys count for nothing.',
    'no log of the policy has signed the checkpoint',
    'Check that the policy names the keys of this log; if it does, keep the checkpoint as it is.',
  ),
  QuorumMissing: finding(
    'Too few witnesses have cosigned the checkpoint.',
    'The policy says how many of them must have seen that the log only grew; without them two people could be shown two logs.',
    'fewer witnesses than the policy asks for have cosigned the checkpoint',
    'Ask for a later checkpoint; where it lacks them too, see why the witnesses do not answer or refuse.',
  ),
  ProofInvalid: finding(
    'The proof does not lead from the entry to the root that was signed.',
    'The entry, its place or the proof is another one, or the entry is not in the log.',
    'the proof is not of this entry in the log at that size',
  ),
  NotLogged: finding(
    'The segment is genuine, and nothing proves that the log has it.',
    'Its proof is of another entry or is missing, or the log has another segment of that number.',
    'nothing proves that the segment is in the log',
    'Export it again; if it stays so, keep the file, and see what chaperone log verify says.',
  ),
  MalformedReceipt: finding(
    'The receipt cannot be read.',
    'It is not what a collector of this version sends: a checkpoint and proofs.',
    'the receipt does not have the expected shape',
    'Nothing is freed by it. Run collector and sidecars of one version.',
  ),
  CheckpointOlder: finding(
    'The log shows fewer entries than it has shown before.',
    'A log only grows. It was restored from an older copy, or somebody took entries out.',
    'the log shows a tree that is smaller than one that it has shown before',
    'Keep both checkpoints, which the sidecar has written to a file. Evidence waits in the spool until the log is whole again.',
  ),
  ConsistencyMissing: finding(
    'The log shows entries and does not prove that those of before are among them.',
    'Now and then after a restart of the collector, and then the next receipt proves it. Always: the log may be another one than before.',
    'the log does not prove that it goes on from what it has shown before',
    'Where it stays so, compare the checkpoints that the sidecar has written to a file with that of the collector.',
  ),
  LogForked: finding(
    'The log has signed two histories.',
    'Its key signed a checkpoint that does not go on from another one that it has signed: somebody was shown, or will be shown, another log.',
    'the log has signed two trees of which one does not go on from the other',
    'Keep both checkpoints, which the sidecar has written to a file: their signatures prove it to anybody. Look into who had the key.',
  ),
  TreeAltered: finding(
    'The log’s last tiles do not have the root that was signed.',
    'The log goes on only from what it has signed; another beginning would be another log.',
    'the last tiles do not have the root that was signed',
    'Restore the tiles that are named from a backup; nothing is appended until they are right.',
  ),
} as const satisfies CodeTable;
